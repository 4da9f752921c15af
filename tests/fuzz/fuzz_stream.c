/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a record stream: header, records, fields, end.
 */
#define _GNU_SOURCE /* memfd_create */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/stream/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t any[2] = {REAP_ANY_EXTENT, REAP_ANY_EXTENT};
	int fd = memfd_create("fuzz", 0);
	struct reap_err e = {0};
	struct reap_reader *r;
	struct reap_rec rec;
	uint64_t shape[2];
	const uint8_t *p;

	if (fd < 0 || reap_write_full(fd, data, size) != 0 || lseek(fd, 0, SEEK_SET) != 0)
		return 0;
	if (reap_reader_open(&r, fd, "fuzz", REAP_KIND_ANY, &e) == REAP_OK)
		while (reap_read(r, &rec, &e) > 0) {
			struct reap_err f = {0};
			volatile uint8_t sink;

			if (reap_rec_array(&rec, NULL, "gates", any, shape, &p, &f) == REAP_OK &&
				shape[0] * shape[1] > 0)
				sink = p[shape[0] * shape[1] * 4 - 1];
			(void)sink;
		}
	reap_reader_close(r);
	close(fd);
	return 0;
}
