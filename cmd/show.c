/* SPDX-License-Identifier: MIT
 *
 * reap-show: any stream as JSON lines or as a summary, and back; what identifies a
 * stream or a checkpoint.  See reap-show(1).
 *
 * JSON form: the header (the line with `reap`), then one object per record, as
 * lib/stream/print.h says.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/hub.h"
#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/model/inspect.h"
#include "lib/model/model.h"
#include "lib/score/load.h"
#include "lib/stream/encode.h"
#include "lib/stream/print.h"
#include "lib/stream/stream_id.h"
#include "lib/stream/summary.h"
#include "lib/text/token_lines.h"
#include "lib/text/tokenizer.h"
#include "lib/text/words.h"

static const char usage[] =
	"usage: reap-show [options] [stream]\n"
	"       reap-show --encode KIND [jsonlines]\n"
	"       reap-show --id PATH...\n"
	"       reap-show --check DIR\n"
	"       reap-show --where MODEL\n"
	"Print a record stream as JSON lines, check it, or make one from JSON lines.\n"
	"\n"
	"  -s, --summary     print what the stream is: its history, records and sizes\n"
	"  -t, --type TYPE   print only records of this type: block, pack, route, outcome, source,\n"
	"                    thresholds, expert, meta, layer, file, total, estimate, tokens,\n"
	"                    metrics\n"
	"      --text FILE   print a line for each token, with its text by this tokenizer.json\n"
	"                    or model\n"
	"      --tokens FILE ... the token stream that the stream was made from\n"
	"      --encode KIND read JSON lines, write a stream of KIND: tokens, trace, saliency,\n"
	"                    scores, plan, manifest, eval\n"
	"      --no-history  with --encode, leave this run out of the history\n"
	"      --id          print a line for each checkpoint or file: what identifies it\n"
	"      --check       read a checkpoint whole, and print the digests of its files\n"
	"      --where       print the directory of a model: ORG/NAME in the cache of\n"
	"                    huggingface_hub\n" TOOL_USAGE_STD;

enum { OPT_ENCODE = TOOL_OWN, OPT_TEXT, OPT_TOKENS, OPT_ID, OPT_CHECK, OPT_WHERE };

struct opts {
	bool summary;
	const char *type, *text, *tokens;
	enum reap_kind encode; /* REAP_KIND_ANY: do not */
	int about;             /* OPT_ID, OPT_CHECK, OPT_WHERE; 0: a stream */
	const char *input;
};

/* ---- stream to JSON ---- */

/* The records that streams of a kind have. */
static const char *const types_of[REAP_KIND_COUNT] = {
	[REAP_KIND_TOKENS] = "block, pack",
	[REAP_KIND_TRACE] = "route, outcome, source",
	[REAP_KIND_SALIENCY] = "thresholds, source, expert",
	[REAP_KIND_SCORES] = "meta, layer",
	[REAP_KIND_PLAN] = "meta, layer",
	[REAP_KIND_MANIFEST] = "file, total, estimate",
	[REAP_KIND_EVAL] = "meta, tokens, metrics",
};

static bool is_type_of(enum reap_kind kind, const char *type)
{
	const size_t n = strlen(type);
	const char *s = types_of[kind];

	for (; s != NULL && *s != '\0'; s += strcspn(s, " "), s += *s == ' ')
		if (n == strcspn(s, ", ") && memcmp(s, type, n) == 0)
			return true;
	return false;
}

static bool is_type(const char *type)
{
	for (int kind = 0; kind < REAP_KIND_COUNT; kind++)
		if (is_type_of((enum reap_kind)kind, type))
			return true;
	return false;
}

static int check_type(const struct opts *o, struct reap_reader *r, struct reap_err *e)
{
	const enum reap_kind kind = reap_reader_header(r)->kind;

	return o->type == NULL || is_type_of(kind, o->type)
		? REAP_OK
		: reap_fail(e, REAP_EUSAGE,
			  "%s: a stream of kind %s has no records of type %s, only: %s",
			  reap_reader_name(r), reap_kind_name(kind), o->type, types_of[kind]);
}

static int show_json(const struct opts *o, struct reap_reader *r, struct reap_err *e)
{
	struct reap_rec rec;
	int rc;

	if (o->type == NULL)
		reap_print_record(reap_reader_head(r), reap_reader_header(r), stdout);
	while ((rc = reap_read(r, &rec, e)) > 0) {
		if (o->type != NULL && !reap_rec_is(&rec, o->type))
			continue;
		reap_print_record(&rec, reap_reader_header(r), stdout);
		if (ferror(stdout))
			break;
	}
	return rc < 0 ? rc : tool_close_stdout(e);
}

/* ---- text ---- */

/* Refuse the tokens of another tokenizer before the first line.  A pipe cannot be read twice. */
static int check_tokens(const char *path, const struct reap_bpe *bpe, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	struct reap_rec rec;
	const char *name;
	struct stat st;
	int fd, rc;

	if (path == NULL || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return REAP_OK;
	if ((rc = tool_input(path, &fd, &name, e)) != REAP_OK)
		return rc;
	rc = reap_reader_open(&r, fd, name, REAP_KIND_TOKENS, e);
	while (rc == REAP_OK && (rc = reap_read(r, &rec, e)) > 0)
		rc = reap_rec_is(&rec, "pack") ? reap_check_tokenizer(&rec, bpe, e) : REAP_OK;
	reap_reader_close(r);
	tool_input_close(fd);
	return rc;
}

static int show_text(const struct opts *o, struct reap_reader *r, struct reap_err *e)
{
	struct reap_tokenizer t = {0};
	struct reap_reader *tokens = NULL;
	const char *name;
	int fd = -1, rc;

	tool_reads_tokenizer(o->text);
	if ((rc = reap_tokenizer_find(&t, o->text, e)) != REAP_OK)
		return rc;
	rc = check_tokens(reap_reader_header(r)->kind == REAP_KIND_TOKENS ? o->input : o->tokens,
		t.bpe, e);
	if (rc == REAP_OK && o->tokens != NULL &&
		(rc = tool_input(o->tokens, &fd, &name, e)) == REAP_OK)
		rc = reap_reader_open(&tokens, fd, name, REAP_KIND_TOKENS, e);
	if (rc == REAP_OK)
		rc = reap_print_token_lines(r, t.bpe, tokens, o->type, stdout, e);
	reap_reader_close(tokens);
	tool_input_close(fd);
	reap_tokenizer_close(&t);
	return rc == REAP_OK ? tool_close_stdout(e) : rc;
}

/* Of a file of scores there is no more to say: it has neither end record nor CRC. */
static int print_summary(struct reap_reader *r, bool is_stream, struct reap_err *e)
{
	int rc = reap_print_summary(r, stdout, e);

	if (rc == REAP_OK && is_stream)
		printf("whole    %" PRIu64 " bytes, end record and CRC-32C agree\n",
			reap_reader_bytes(r));
	return rc == REAP_OK ? tool_close_stdout(e) : rc;
}

/* ---- JSON to stream ---- */

enum { MAX_LINE = 1 << 30 };

/* The next line that is not blank, without its line end: 1, or 0 at the end of the input.  A line
 * that does not begin as an object does is refused before it is read to its end. */
static int next_line(FILE *in, char **line, size_t *cap, size_t *n, uint64_t *number,
	const char *name, struct reap_err *e)
{
	int c;

	*n = 0;
	while ((c = getc_unlocked(in)) != EOF && (c != '\n' || *n == 0)) {
		*number += c == '\n';
		if (*n == 0 && (c == '\n' || c == ' ' || c == '\t' || c == '\r'))
			continue;
		if (*n == 0 && c != '{')
			return reap_fail(e, REAP_EFAIL, "%s: line %" PRIu64 ": not an object", name,
				*number + 1);
		if (*n == MAX_LINE)
			return reap_fail(e, REAP_EFAIL,
				"%s: line %" PRIu64 ": longer than %d bytes", name, *number + 1,
				MAX_LINE);
		if (!reap_grow(line, cap, *n + 1, 1))
			return reap_fail_memory(e, name);
		(*line)[(*n)++] = (char)c;
	}
	*number += *n > 0;
	if (ferror(in))
		return reap_fail_errno(e, "%s", name);
	return *n > 0;
}

/* --no-history leaves out only this run: the history in the header line stays. */
static int open_writer(struct reap_writer **w, struct reap_header *h, struct reap_err *e)
{
	return tool.no_history ? reap_writer_open(w, STDOUT_FILENO, "standard output", h, e)
			       : tool_writer_header(w, h, e);
}

/* One line: the header (only before the first record), or a record; an end
 * record is left out because the writer makes its own. */
static int encode_line(const json_t *v, struct reap_header *h, struct reap_writer **w,
	const char *name, struct reap_err *e)
{
	const char *type = json_string_value(json_object_get(v, "t"));
	int rc;

	if (type == NULL && *w == NULL && json_object_get(v, "reap") != NULL) {
		const enum reap_kind kind = h->kind;

		reap_header_free(h);
		rc = reap_encode_header(v, kind, h, name, e);
		return rc == REAP_OK ? open_writer(w, h, e) : rc;
	}
	if (*w == NULL && (rc = open_writer(w, h, e)) != REAP_OK)
		return rc;
	if (type != NULL && strcmp(type, "end") == 0)
		return REAP_OK;
	return reap_encode_record(v, h, *w, name, e);
}

static int encode(const struct opts *o, FILE *in, const char *name, struct reap_err *e)
{
	struct reap_writer *w = NULL;
	struct reap_header h;
	char *line = NULL, where[300];
	uint64_t number = 0;
	size_t cap = 0, n;
	int more = 0, rc = reap_header_init(&h, o->encode, NULL, e);

	while (rc == REAP_OK && (more = next_line(in, &line, &cap, &n, &number, name, e)) > 0) {
		json_error_t je;
		json_t *v = reap_json_read(line, n, JSON_REJECT_DUPLICATES, &je);

		snprintf(where, sizeof(where), "%s: line %" PRIu64, name, number);
		rc = v != NULL                ? encode_line(v, &h, &w, where, e)
			: reap_json_starved() ? reap_fail_memory(e, where)
					      : reap_fail(e, REAP_EFAIL, "%s: %s", where, je.text);
		json_decref(v);
	}
	if (rc == REAP_OK)
		rc = more;
	if (rc == REAP_OK && w == NULL)
		rc = open_writer(&w, &h, e);
	if (w != NULL)
		rc = reap_writer_close(w, rc, e);
	reap_header_free(&h);
	free(line);
	return rc;
}

/* ---- identity ---- */

/* A file that is no stream is identified by its SHA-256. */
static int show_file_id(const char *path, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	char first[16], id[REAP_STREAM_ID];
	const char *name;
	struct stat st;
	ssize_t n;
	int fd, rc = tool_input(path, &fd, &name, e);

	if (rc != REAP_OK)
		return rc;
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		rc = reap_fail(e, REAP_EFAIL, "%s: not a regular file", name);
	} else if ((n = pread(fd, first, sizeof(first), 0)) < 0) {
		rc = reap_fail_errno(e, "%s", name);
	} else if (!reap_stream_begins(first, (size_t)n)) {
		rc = reap_sha256_fd(fd, name, id, e);
	} else if ((rc = reap_reader_open(&r, fd, name, REAP_KIND_ANY, e)) == REAP_OK) {
		rc = reap_stream_id(r, fd, id, e);
	}
	if (rc == REAP_OK)
		printf("%s  %s\n", id, path);
	reap_reader_close(r);
	tool_input_close(fd);
	return rc;
}

static int show_id(const char *path, struct reap_err *e)
{
	struct reap_model *m;
	const char *dir;
	struct stat st;
	int rc;

	if (stat(path, &st) != 0) {
		/* It may be a name of the hub. */
		if (strchr(path, '/') == NULL)
			return show_file_id(path, e);
	} else if (S_ISREG(st.st_mode)) {
		return show_file_id(path, e);
	} else if (!S_ISDIR(st.st_mode)) {
		/* Opening a FIFO would wait for a writer. */
		return reap_fail(e, REAP_EFAIL, "%s: not a regular file", path);
	}
	dir = tool_model(path);
	if ((rc = reap_model_open(&m, dir, e)) != REAP_OK)
		return rc;
	printf("%s  %s\n", m->id.digest, path);
	reap_model_close(m);
	return REAP_OK;
}

static int show_ids(char *const *path, struct reap_err *e)
{
	int rc = REAP_OK;

	for (; *path != NULL && rc == REAP_OK; path++)
		rc = show_id(*path, e);
	return rc == REAP_OK ? tool_close_stdout(e) : rc;
}

/* ---- a checkpoint, read whole ---- */

struct lines {
	const char *dir;
	char *text;
	size_t n, cap;
};

static bool is_stdout(const char *path)
{
	struct stat out, file;

	return fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(out.st_mode) && stat(path, &file) == 0 &&
		file.st_dev == out.st_dev && file.st_ino == out.st_ino;
}

/* A line of sha256sum(1): before a name with escapes stands a backslash.  The file that the lines
 * will be in has none. */
static int add_digest(void *arg, const char *name, const char *sha256, struct reap_err *e)
{
	static const char special[] = "\\\n\r", letter[] = "\\nr";
	struct lines *l = arg;
	const size_t most = strlen(sha256) + 2 * strlen(name) + sizeof("\\  \n");
	char *path = reap_path_join(l->dir, name), *p;
	const bool itself = path != NULL && is_stdout(path);

	free(path);
	if (path == NULL || !reap_grow(&l->text, &l->cap, l->n + most, 1))
		return reap_fail_memory(e, name);
	if (itself)
		return REAP_OK;
	p = l->text + l->n;
	p += sprintf(p, "%s%s  ", strpbrk(name, special) != NULL ? "\\" : "", sha256);
	for (; *name != '\0'; name++) {
		const char *s = strchr(special, *name);

		if (s != NULL)
			*p++ = '\\';
		*p++ = s != NULL ? letter[s - special] : *name;
	}
	*p++ = '\n';
	l->n = (size_t)(p - l->text);
	return REAP_OK;
}

/* Nothing is printed of a checkpoint in which something is wrong. */
static int check_dir(const char *dir, struct reap_err *e)
{
	struct lines lines = {.dir = dir};
	const struct reap_inspect in = {&lines, add_digest, tool_progress("checking", "bytes")};
	int rc;

	rc = reap_inspect(dir, &in, e);
	tool_progress_end();
	if (rc == REAP_OK) {
		fwrite(lines.text, 1, lines.n, stdout);
		rc = tool_close_stdout(e);
	}
	free(lines.text);
	return rc;
}

static int show_where(const char *name, struct reap_err *e)
{
	char *dir;
	int rc = reap_hub_find(name, &dir, e);

	if (rc == REAP_OK && !reap_is_folder(dir))
		rc = reap_fail(e, REAP_EFAIL, "%s: no such directory", dir);
	if (rc == REAP_OK) {
		puts(dir);
		rc = tool_close_stdout(e);
	}
	free(dir);
	return rc;
}

/* reap-scores.yaml as the stream that it would be. */
static int open_scores(struct reap_reader **r, int fd, const char *name, struct reap_err *e)
{
	struct reap_loaded in = {0};
	struct reap_writer *w = NULL;
	FILE *f = NULL;
	int rc = reap_load(fd, name, 0, "", &in, e);

	if (rc != REAP_OK)
		return rc;
	in.head.kind = REAP_KIND_SCORES;
	if ((f = tmpfile()) == NULL) {
		rc = reap_fail_errno(e, "a temporary file");
	} else if ((rc = reap_writer_open(&w, dup(fileno(f)), name, &in.head, e)) == REAP_OK) {
		rc = reap_writer_close(w, reap_put_scores(w, &in.scores, e), e);
	}
	if (rc == REAP_OK && lseek(fileno(f), 0, SEEK_SET) != 0)
		rc = reap_fail_errno(e, "a temporary file");
	/* The reader has a descriptor of its own, which lives as long as the program. */
	if (rc == REAP_OK)
		rc = reap_reader_open(r, dup(fileno(f)), name, REAP_KIND_SCORES, e);
	if (f != NULL)
		fclose(f);
	reap_loaded_free(&in);
	return rc;
}

/* A stream, or a file of scores; on a pipe only a stream. */
static int open_stream(struct reap_reader **r, bool *is_stream, int fd, const char *name,
	struct reap_err *e)
{
	static const char yaml[] = "schema_version:";
	char first[sizeof(yaml) - 1];
	ssize_t n = pread(fd, first, sizeof(first), 0);

	*is_stream = n <= 0 ||
		(first[0] != '#' &&
			(n != (ssize_t)sizeof(first) || memcmp(first, yaml, sizeof(first)) != 0));
	return *is_stream ? reap_reader_open(r, fd, name, REAP_KIND_ANY, e)
			  : open_scores(r, fd, name, e);
}

static int run(const struct opts *o, struct reap_err *e)
{
	struct reap_reader *r = NULL;
	const char *name;
	bool is_stream;
	int fd, rc;

	if (o->input != NULL && reap_is_folder(o->input))
		return reap_fail(e, REAP_EFAIL,
			"%s: a directory: --id and --check are for checkpoints", o->input);
	if ((rc = tool_input(o->input, &fd, &name, e)) != REAP_OK)
		return rc;
	if (o->encode != REAP_KIND_ANY) {
		FILE *in = fdopen(fd, "r");

		if (in == NULL)
			return reap_fail_errno(e, "%s", name);
		rc = encode(o, in, name, e);
		fclose(in);
		return rc;
	}
	rc = open_stream(&r, &is_stream, fd, name, e);
	if (rc == REAP_OK)
		rc = check_type(o, r, e);
	if (rc == REAP_OK)
		rc = o->summary           ? print_summary(r, is_stream, e)
			: o->text != NULL ? show_text(o, r, e)
					  : show_json(o, r, e);
	reap_reader_close(r);
	return rc;
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {TOOL_LONG, {"summary", no_argument, NULL, 's'},
		{"type", required_argument, NULL, 't'}, {"text", required_argument, NULL, OPT_TEXT},
		{"tokens", required_argument, NULL, OPT_TOKENS},
		{"encode", required_argument, NULL, OPT_ENCODE}, {"id", no_argument, NULL, OPT_ID},
		{"check", no_argument, NULL, OPT_CHECK}, {"where", no_argument, NULL, OPT_WHERE},
		{NULL, 0, NULL, 0}};
	struct opts o = {0};
	struct reap_err e = {0};
	int c, rc;

	tool_begin("reap-show", usage, argc, argv);
	while ((c = getopt_long(argc, argv, TOOL_SHORT "st:", longs, NULL)) != -1)
		switch (c) {
		case 's':
			o.summary = true;
			break;
		case 't':
			if (o.type != NULL)
				tool_usage("--type: %s and %s: only one can be given", o.type,
					optarg);
			o.type = optarg;
			if (!is_type(o.type))
				tool_usage("--type: no type '%s'", o.type);
			break;
		case OPT_TEXT:
			o.text = optarg;
			break;
		case OPT_TOKENS:
			o.tokens = optarg;
			break;
		case OPT_ENCODE:
			o.encode = reap_kind_from_name(optarg, strlen(optarg));
			if (o.encode == REAP_KIND_ANY)
				tool_usage("--encode: no kind '%s'", optarg);
			break;
		case OPT_ID:
		case OPT_CHECK:
		case OPT_WHERE:
			if (o.about != 0)
				tool_usage("only one of --id, --check and --where can be given");
			o.about = c;
			break;
		default:
			tool_option(c);
		}
	if (o.tokens != NULL && o.text == NULL)
		tool_usage("--tokens goes with --text");
	if (o.summary && o.type != NULL)
		tool_usage("--summary and --type do not go together");
	if (o.text != NULL && (o.summary || o.encode != REAP_KIND_ANY))
		tool_usage("--text goes with neither --summary nor --encode");
	if (o.about != 0 &&
		(o.summary || o.type != NULL || o.text != NULL || o.encode != REAP_KIND_ANY))
		tool_usage("--id, --check and --where go with no other option");
	if (o.about != 0 && argc == optind)
		tool_usage("--%s",
			o.about == OPT_ID              ? "id: of which checkpoint or stream?"
				: o.about == OPT_CHECK ? "check: of which checkpoint?"
						       : "where: of which model?");
	if (o.about != OPT_ID && argc - optind > 1)
		tool_usage("more than one stream given");
	o.input = argv[optind];
	if (o.encode != REAP_KIND_ANY && (o.summary || o.type != NULL))
		tool_usage("--encode goes with neither --summary nor --type");
	if (o.encode != REAP_KIND_ANY)
		tool_refuse_terminal();
	rc = o.about == OPT_ID         ? show_ids(argv + optind, &e)
		: o.about == OPT_CHECK ? check_dir(tool_model(o.input), &e)
		: o.about == OPT_WHERE ? show_where(o.input, &e)
				       : run(&o, &e);
	return rc == REAP_OK ? EXIT_DONE : tool_report(&e);
}
