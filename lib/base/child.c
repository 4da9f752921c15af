/* SPDX-License-Identifier: MIT */
#include "lib/base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int spawn(pid_t *pid, const char *const argv[], const int stream[3])
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return rc;
	for (int i = 0; i < 3 && rc == 0; i++)
		rc = posix_spawn_file_actions_adddup2(&actions, stream[i], i);
	if (rc == 0)
		rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

int reap_child_start(struct reap_child *c, const char *const argv[], int in, int out)
{
	int said[2], rc;

	*c = (struct reap_child){0};
	if (pipe(said) != 0)
		return errno;
	/* Neither end blocks: a child that writes more than the pipe holds does not wait for us,
	 * and our read in the end does not wait for a process that the child left behind with the
	 * pipe open. */
	for (int i = 0; i < 2; i++) {
		fcntl(said[i], F_SETFD, FD_CLOEXEC);
		fcntl(said[i], F_SETFL, O_NONBLOCK);
	}
	rc = spawn(&c->pid, argv, (const int[]){in, out, said[1]});
	close(said[1]);
	if (rc == 0) {
		c->said = said[0];
		return 0;
	}
	c->pid = 0;
	close(said[0]);
	return rc;
}

/* Pick the first line, or the last one of a Python traceback. */
static void pick_line(char *text, char *said, size_t size)
{
	static const char trace[] = "Traceback ";
	const char *line = text;

	for (size_t n = strlen(text); n > 0 && text[n - 1] == '\n';)
		text[--n] = '\0';
	if (strncmp(text, trace, sizeof(trace) - 1) == 0 && strrchr(text, '\n') != NULL)
		line = strrchr(text, '\n') + 1;
	snprintf(said, size, "%.*s", (int)strcspn(line, "\n"), line);
}

static int wait_for(struct reap_child *c, int *status)
{
	pid_t r;

	while ((r = waitpid(c->pid, status, 0)) < 0 && errno == EINTR)
		;
	c->pid = 0;
	return r < 0 ? -1 : 0;
}

int reap_child_end(struct reap_child *c, int *status, char *said, size_t size)
{
	char text[4096];
	const int rc = wait_for(c, status), saved = errno;
	const ssize_t n = read(c->said, text, sizeof(text) - 1);

	close(c->said);
	text[n > 0 ? n : 0] = '\0';
	pick_line(text, said, size);
	errno = saved;
	return rc;
}

void reap_child_stop(struct reap_child *c)
{
	int status;

	if (c->pid == 0)
		return;
	kill(c->pid, SIGTERM);
	wait_for(c, &status);
	close(c->said);
}
