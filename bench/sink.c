/* sink udp|tcp PORT: counts what arrives at 127.0.0.1 and does nothing else: the floor for whatever receives syslog.
 * Datagrams are taken 64 at a time from a buffer of 4 MiB, a stream's messages end with a newline. It prints the count
 * at SIGTERM. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 64, DATAGRAM = 8 << 10, CHUNK = 256 << 10, BUFFER = 4 << 20 };

static volatile sig_atomic_t ended;
static void end(int signal) { ended = signal; }

static long datagrams(int s) {
	static char bytes[MANY][DATAGRAM];
	static struct iovec parts[MANY];
	static struct mmsghdr messages[MANY];
	int size = BUFFER;
	/* FORCE goes beyond net.core.rmem_max and needs CAP_NET_ADMIN */
	if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	for (int i = 0; i < MANY; i++) {
		parts[i] = (struct iovec){bytes[i], DATAGRAM};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	long count = 0;
	while (!ended) {
		int n = recvmmsg(s, messages, MANY, MSG_WAITFORONE, NULL);
		if (n > 0) count += n;
	}
	return count;
}

static long lines(int s) {
	static char bytes[CHUNK];
	long count = 0;
	ssize_t n;
	listen(s, 64);
	while (!ended) {
		int c = accept(s, NULL, NULL);
		if (c < 0) continue;
		while (!ended && (n = read(c, bytes, CHUNK)) > 0)
			for (char *p = bytes; (p = memchr(p, '\n', bytes + n - p)); p++) count++;
		close(c);
	}
	return count;
}

int main(int argc, char **argv) {
	if (argc != 3 || (strcmp(argv[1], "udp") && strcmp(argv[1], "tcp"))) {
		fprintf(stderr, "usage: sink udp|tcp PORT\n");
		return 2;
	}
	int udp = !strcmp(argv[1], "udp"), one = 1;
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = end}, NULL); /* without SA_RESTART: it ends the wait */
	int s = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(s, (struct sockaddr *)&here, sizeof here)) {
		perror("sink: bind");
		return 1;
	}
	printf("%ld\n", udp ? datagrams(s) : lines(s));
	return 0;
}
