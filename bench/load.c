/* load udp|lf|count PORT FILE TOTAL [RATE]: sends the lines of FILE to 127.0.0.1, over and over, TOTAL of them.
 *
 *   udp     a datagram each, 32 at a time, RATE a second (0: as fast as it goes)
 *   lf      one TCP connection, as fast as it goes, each message ended by a newline
 *   count   the same, each preceded by its length (RFC 6587, 3.4.1)
 *
 * It prints what it sent and the seconds it took: "TOTAL SECONDS". */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 20, MANY = 32, CHUNK = 256 << 10, BUFFER = 4 << 20 };

static char *bytes;
static size_t begin_of[MOST + 1]; /* message i is bytes[begin_of[i]] up to begin_of[i+1], framing included */
static int messages;

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void read_lines(const char *path, char how) {
	size_t room = 0, size;
	char *line = NULL;
	ssize_t n;
	FILE *f = fopen(path, "r"), *all = open_memstream(&bytes, &size);
	if (!f) fail(path);
	while (messages < MOST && (n = getline(&line, &room, f)) > 0) {
		if (line[n - 1] == '\n') n--;
		if (how == 'c') fprintf(all, "%zd ", n);
		fwrite(line, 1, n, all);
		if (how == 'l') putc('\n', all);
		begin_of[++messages] = ftell(all);
	}
	fclose(all);
	fclose(f);
	if (!messages) {
		fprintf(stderr, "%s has no lines\n", path);
		exit(1);
	}
}

static void wait_until(double due) { /* asleep for most of it, awake for the last 60 us */
	for (double left; (left = due - now()) > 0;)
		if (left > 120e-6) nanosleep(&(struct timespec){0, (long)((left > 0.9 ? 0.9 : left - 60e-6) * 1e9)}, NULL);
}

static void send_datagrams(int s, long total, double rate) {
	struct iovec parts[MANY];
	struct mmsghdr batch[MANY] = {0};
	double start = now();
	int next = 0;
	for (long sent = 0; sent < total;) {
		int n = total - sent < MANY ? total - sent : MANY;
		if (rate > 0) wait_until(start + sent / rate);
		for (int i = 0; i < n; i++, next = (next + 1) % messages) {
			parts[i] = (struct iovec){bytes + begin_of[next], begin_of[next + 1] - begin_of[next]};
			batch[i].msg_hdr.msg_iov = &parts[i];
			batch[i].msg_hdr.msg_iovlen = 1;
		}
		for (int done = 0; done < n;) {
			int r = sendmmsg(s, batch + done, n - done, 0);
			if (r > 0) done += r;
			else if (errno != EINTR && errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED) fail("sendmmsg");
		}
		sent += n;
	}
}

static void send_stream(int s, long total) {
	int next = 0, many = 1 + CHUNK / (begin_of[messages] / messages + 1);
	for (long sent = 0; sent < total;) {
		long n = total - sent < many ? total - sent : many;
		if (n > messages - next) n = messages - next;
		for (size_t at = begin_of[next]; at < begin_of[next + n];) {
			ssize_t w = write(s, bytes + at, begin_of[next + n] - at);
			if (w > 0) at += w;
			else if (errno != EINTR) fail("write");
		}
		next = (next + n) % messages;
		sent += n;
	}
}

int main(int argc, char **argv) {
	char how = argc > 1 ? argv[1][0] : 0;
	if (argc < 5 || !strchr("ulc", how)) {
		fprintf(stderr, "usage: load udp|lf|count PORT FILE TOTAL [RATE]\n");
		return 2;
	}
	long total = atol(argv[4]);
	read_lines(argv[3], how);
	prctl(PR_SET_TIMERSLACK, 1);
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, how == 'u' ? SOCK_DGRAM : SOCK_STREAM, 0), size = BUFFER;
	setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	if (connect(s, (struct sockaddr *)&there, sizeof there)) fail("connect");
	double start = now();
	if (how == 'u') send_datagrams(s, total, argc > 5 ? atof(argv[5]) : 0);
	else send_stream(s, total);
	printf("%ld %.4f\n", total, now() - start);
	return close(s);
}
