/* SPDX-License-Identifier: MIT
 *
 * measure COMMAND...: run it; then one line on descriptor 3: wall seconds,
 * processor seconds, peak memory in MiB without mapped files, and with them.
 */
#define _DEFAULT_SOURCE /* wait4 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"

/* RssAnon of a process in KiB, 0 when it cannot be read. */
static long anonymous(pid_t pid)
{
	char name[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%ld/status", (long)pid);
	f = fopen(name, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = atol(line + 8);
	if (f != NULL)
		fclose(f);
	return kib;
}

int main(int argc, char **argv)
{
	const struct timespec pause = {0, 20000000};
	struct rusage u;
	double begun = reap_seconds();
	long anon = 0, kib;
	int status;
	pid_t pid;

	if (argc < 2 || (pid = fork()) < 0)
		return 125;
	if (pid == 0) {
		close(3);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	while (wait4(pid, &status, WNOHANG, &u) == 0) {
		kib = anonymous(pid);
		anon = kib > anon ? kib : anon;
		nanosleep(&pause, NULL);
	}
	dprintf(3, "%.3f %.3f %ld %ld\n", reap_seconds() - begun,
		(double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec),
		anon >> 10, u.ru_maxrss >> 10);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
