/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/io.h"
#include "lib/base/means.h"
#include "lib/base/thread.h"
#include "tests/unit/tap.h"

static char root[] = "/tmp/reap-test-XXXXXX";

/* A file below the root, with the folders above it. */
static void put(const char *path, const char *text)
{
	char full[512];
	struct reap_err e = {0};

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + sizeof(root); (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		mkdir(full, 0777);
		*p = '/';
	}
	if (reap_write_file(full, text, strlen(text), &e) != REAP_OK)
		ok(0, "%s", e.text);
}

static void wipe(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s/*", root);
	if (system(command) != 0)
		ok(0, "%s", command);
}

/* With affinity for 8 and 1,000,000 bytes of RAM, and what was put: cpus and memory, and
 * what decided. */
static void is(const char *what, int cpus, const char *cpus_by, uint64_t memory,
	const char *memory_by)
{
	struct reap_means l = {.cpus = 8,
		.memory = 1000000,
		.cpus_by = "affinity",
		.memory_by = "RAM"};

	reap_means_of_groups(&l, root);
	ok(l.cpus == cpus && strcmp(l.cpus_by, cpus_by) == 0 && l.memory == memory &&
			strcmp(l.memory_by, memory_by) == 0,
		"%s: %d (%s), %llu (%s)", what, l.cpus, l.cpus_by, (unsigned long long)l.memory,
		l.memory_by);
	wipe();
}

#define UNIFIED(root, mount) \
	"29 23 0:26 " root " " mount " rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
#define OLD(root, mount, which) \
	"33 31 0:30 " root " " mount " rw,relatime - cgroup cgroup rw," which "\n"
#define OTHERS \
	"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:21 / /sys rw shared:7 - sysfs sysfs rw\n"

static void test_version_2(void)
{
	is("nothing can be read", 8, "affinity", 1000000, "RAM");

	put("/proc/self/cgroup", "0::/a/b\n");
	put("/proc/self/mountinfo", OTHERS UNIFIED("/", "/sys/fs/cgroup"));
	put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/b/memory.high", "max\n");
	is("no bounds", 8, "affinity", 1000000, "RAM");

	put("/proc/self/cgroup", "0::/a/b\n");
	put("/proc/self/mountinfo", OTHERS UNIFIED("/", "/sys/fs/cgroup"));
	put("/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
	put("/sys/fs/cgroup/a/b/memory.max", "700000\n");
	is("its own group", 3, "/sys/fs/cgroup/a/b/cpu.max", 700000,
		"/sys/fs/cgroup/a/b/memory.max");

	put("/proc/self/cgroup", "0::/a/b\n");
	put("/proc/self/mountinfo", OTHERS UNIFIED("/", "/sys/fs/cgroup"));
	put("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
	put("/sys/fs/cgroup/a/b/memory.max", "700000\n");
	put("/sys/fs/cgroup/a/cpu.max", "20000 100000\n");
	put("/sys/fs/cgroup/a/memory.high", "600000\n");
	is("the group above it; less than a processor is one", 1, "/sys/fs/cgroup/a/cpu.max",
		600000, "/sys/fs/cgroup/a/memory.high");

	/* A container with a namespace of its own: its group is the root. */
	put("/proc/self/cgroup", "0::/\n");
	put("/proc/self/mountinfo", OTHERS UNIFIED("/", "/elsewhere"));
	put("/elsewhere/cpu.max", "200000 100000\n");
	put("/elsewhere/memory.max", "2000000\n");
	is("a namespace, mounted elsewhere; more than there is", 2, "/elsewhere/cpu.max", 1000000,
		"RAM");

	/* The mount is of another namespace than the process, or the other way round. */
	put("/proc/self/cgroup", "0::/\n");
	put("/proc/self/mountinfo", UNIFIED("/machine/one", "/sys/fs/cgroup"));
	put("/sys/fs/cgroup/memory.max", "5000\n");
	is("a mount that shows another part", 8, "affinity", 5000, "/sys/fs/cgroup/memory.max");
	put("/proc/self/cgroup", "0::/../other\n");
	put("/proc/self/mountinfo", UNIFIED("/", "/sys/fs/cgroup"));
	put("/sys/fs/cgroup/memory.max", "5000\n");
	put("/sys/fs/other/memory.max", "4000\n");
	is("a path out of the namespace", 8, "affinity", 5000, "/sys/fs/cgroup/memory.max");
}

static void test_version_1(void)
{
	const char *groups = "9:name=systemd:/x\n4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n"
			     "1:cpuset:/x\n0::/\n";

	put("/proc/self/cgroup", groups);
	put("/proc/self/mountinfo",
		OTHERS OLD("/", "/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct")
			OLD("/", "/sys/fs/cgroup/memory", "memory"));
	put("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
	is("no bounds", 8, "affinity", 1000000, "RAM");

	put("/proc/self/cgroup", groups);
	put("/proc/self/mountinfo",
		OLD("/", "/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct")
			OLD("/", "/sys/fs/cgroup/memory", "memory"));
	put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "50000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "10000\n");
	put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "300000\n");
	is("seen from the host", 5, "/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", 300000,
		"/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes");

	/* Docker mounts the container's own part. */
	put("/proc/self/cgroup", groups);
	put("/proc/self/mountinfo",
		OLD("/docker/1", "/c\\040g/cpu", "cpu,cpuacct")
			OLD("/docker/1", "/c\\040g/m", "memory"));
	put("/c g/cpu/cpu.cfs_quota_us", "150000\n");
	put("/c g/cpu/cpu.cfs_period_us", "100000\n");
	put("/c g/m/memory.limit_in_bytes", "300000\n");
	is("a part mounted in a container, under a name with a blank", 2,
		"/c g/cpu/cpu.cfs_quota_us", 300000, "/c g/m/memory.limit_in_bytes");

	/* /docker/1 is no part of /docker/12. */
	put("/proc/self/cgroup", "4:memory:/docker/12\n");
	put("/proc/self/mountinfo", OLD("/docker/1", "/m", "memory"));
	put("/m/2/memory.limit_in_bytes", "300000\n");
	is("a name that begins like another", 8, "affinity", 1000000, "RAM");

	put("/proc/self/cgroup", "junk\n::\n4:memory\n4:memory:/a");
	put("/proc/self/mountinfo", "junk\n - cgroup\n1 2 - cgroup2 x rw\n - \n\n");
	is("lines that say nothing", 8, "affinity", 1000000, "RAM");
}

int main(void)
{
	struct reap_means l;

	if (mkdtemp(root) == NULL)
		return 1;
	test_version_2();
	test_version_1();
	reap_means(&l);
	ok(l.cpus >= 1 && l.cpus <= reap_cpu_count() && l.memory > 0, "here: %d (%s), %llu (%s)",
		l.cpus, l.cpus_by, (unsigned long long)l.memory, l.memory_by);
	remove(root);
	return tap_done();
}
