/* tm COMMAND ARG...: runs COMMAND and writes "WALL USER SYSTEM PEAK_KIB STATUS" (seconds, KiB) to the file $TM_RESULT.
 *
 * It is small and static, for a child inherits the peak memory of the process that it was forked from: from Python or a
 * shell, nothing would seem to need less than they do. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

int main(int argc, char **argv) {
	const char *path = getenv("TM_RESULT");
	FILE *result = path ? fopen(path, "w") : NULL;
	struct timespec begin, end;
	struct rusage used;
	int status;
	if (argc < 2 || !result) {
		fprintf(stderr, "usage: TM_RESULT=FILE tm COMMAND ARG...\n");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	pid_t child = fork();
	if (child == 0) {
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &used) < 0) {
		perror("tm");
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	fprintf(result, "%.6f %.6f %.6f %ld %d\n", end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9,
		seconds(used.ru_utime), seconds(used.ru_stime), used.ru_maxrss,
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return fclose(result) != 0;
}
