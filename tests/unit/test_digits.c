/* SPDX-License-Identifier: MIT
 *
 * A reap-scores.yaml in which any one digit of a number is another one is refused: by
 * what follows from the rest of the file, where something does, and by the file's own
 * digest in any case but that of what does not count (the history).
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/score/ranking.h"
#include "lib/score/scores_yaml.h"
#include "tests/unit/tap.h"

enum { LAYERS = 2, EXPERTS = 4, TOP_K = 2, TOKENS = 40 };

/* Nothing else in the file follows from these: quantiles and thresholds of tokens that
 * are gone, how many blocks there were, squares and maxima (which only have bounds). */
static const char *const unfounded[] = {"tokens_sha256", "blocks", "taken", "model_digest",
	"cc_quantile", "uncertain_quantile", "p_lo", "h_lo", "h_hi", "sum_n2", "sum_gn2", "max_n",
	"scores_sha256", "argv", "version"};

static double uniform(void)
{
	return (double)rand() / RAND_MAX;
}

static void add(struct reap_sums *s, double g, double n, int region)
{
	s->count++;
	s->g += g;
	s->n += n;
	s->n2 += n * n;
	s->gn += g * n;
	s->gn2 += g * n * g * n;
	s->max_n = fmax(s->max_n, n);
	s->region_count[region]++;
	s->region_gn[region] += g * n;
}

static void make_scores(struct reap_scores *s, enum reap_method method)
{
	struct reap_criterion c = {.method = method, .weights = {1, 0.25, -2}, .seed = 7};
	struct reap_err e = {0};

	srand(1);
	if (reap_scores_init(s, &(struct reap_model_id){.layers = LAYERS, .experts = EXPERTS},
		    &e) != REAP_OK ||
		reap_scores_make_sources(s, 1, &e) != REAP_OK)
		exit(1);
	s->known = REAP_KNOWN_ALL;
	s->thresholds = (struct reap_thresholds){.rule = REAP_RULE_CODE,
		.cc_quantile = 0.15,
		.uncertain_quantile = 0.85,
		.p_lo = 0.02,
		.h_lo = 0.1,
		.h_hi = 0.7,
		.tokens = TOKENS,
		.samples = TOKENS};
	memset(s->scored[0].source.tokens_sha256, '5', 64);
	s->scored[0].source.blocks = s->scored[0].taken = 12;
	for (int t = 0; t < TOKENS; t++) {
		int region = t % 7 == 0 ? REAP_CONFLICT : t % 3 == 0 ? REAP_UNCERTAIN : REAP_GOOD;

		s->thresholds.region[region]++;
		for (int l = 0; l < LAYERS; l++) {
			int first = rand() % EXPERTS,
			    second = (first + 1 + rand() % (EXPERTS - 1)) % EXPERTS;
			double g = 0.5 + 0.5 * uniform();

			add(&s->sums[l * EXPERTS + first], g, 1 + 9 * uniform(), region);
			add(&s->sums[l * EXPERTS + second], 1 - g, 1 + 9 * uniform(), region);
		}
	}
	if (reap_rank(s, &c, "made up", &e) != REAP_OK)
		exit(1);
}

static bool read_text(const char *text, size_t len, struct reap_err *e)
{
	struct reap_header h;
	struct reap_scores s;
	int fd;
	bool read;

	if (reap_temp_unnamed(&fd, e) != REAP_OK || reap_write_full(fd, text, len) != 0 ||
		lseek(fd, 0, SEEK_SET) != 0)
		exit(1);
	read = reap_scores_read_yaml(fd, "y", &h, &s, e) == REAP_OK;
	close(fd);
	if (read) {
		reap_header_free(&h);
		reap_scores_free(&s);
	}
	return read;
}

static char *write_text(const struct reap_scores *s, size_t *len)
{
	struct reap_header h = {.kind = REAP_KIND_SCORES,
		.has_model = true,
		.model = {.id = "m",
			.digest =
				"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
			.layers = LAYERS,
			.experts = EXPERTS,
			.top_k = TOP_K}};
	struct reap_err e = {0};
	char *text = calloc(1, 1 << 20);
	ssize_t n;
	int fd;

	if (text == NULL || reap_temp_unnamed(&fd, &e) != REAP_OK ||
		reap_scores_write_yaml(fd, "y", &h, s, &e) != REAP_OK ||
		lseek(fd, 0, SEEK_SET) != 0 || (n = reap_read_full(fd, text, 1 << 20)) < 0)
		exit(1);
	close(fd);
	*len = (size_t)n;
	return text;
}

/* The key before a place: the nearest word that is followed by a colon. */
static void key_of(const char *text, size_t at, char *key, size_t size)
{
	size_t end, begin;

	while (at > 0 && text[at] != ':')
		at--;
	for (end = begin = at;
		begin > 0 && (isalnum((unsigned char)text[begin - 1]) || text[begin - 1] == '_');)
		begin--;
	snprintf(key, size, "%.*s", (int)(end - begin), text + begin);
}

/* A digit of a number, not of a word? */
static bool of_number(const char *text, size_t at)
{
	if (!isdigit((unsigned char)text[at]))
		return false;
	while (at > 0 &&
		(isdigit((unsigned char)text[at - 1]) || strchr(".+-", text[at - 1]) != NULL ||
			(text[at - 1] == 'e' && at > 1 && isdigit((unsigned char)text[at - 2]))))
		at--;
	return at == 0 || strchr(" [{,\"\n", text[at - 1]) != NULL;
}

/* The relative change of the number around a place when its digit becomes `digit`. */
static double change(const char *text, size_t at, char digit)
{
	char word[64];
	size_t begin = at, n;
	double was, is;

	while (begin > 0 && strchr(" [{,\"\n", text[begin - 1]) == NULL)
		begin--;
	n = strcspn(text + begin, " ]},\"\n");
	snprintf(word, sizeof(word), "%.*s", (int)n, text + begin);
	was = strtod(word, NULL);
	word[at - begin] = digit;
	is = strtod(word, NULL);
	return fabs(is - was) / fmax(fabs(is), fabs(was));
}

static bool is_unfounded(const char *key)
{
	for (size_t i = 0; i < sizeof(unfounded) / sizeof(unfounded[0]); i++)
		if (strcmp(unfounded[i], key) == 0)
			return true;
	return false;
}

/* Change every digit in turn; with_digest: leave the file's own digest in it. */
static void edit_all(enum reap_method method, bool with_digest)
{
	struct reap_scores s;
	struct reap_err e = {0};
	size_t len, tried = 0, passed = 0;
	char *text, *line, key[64], first[80] = "";

	make_scores(&s, method);
	text = write_text(&s, &len);
	line = strstr(text, "scores_sha256");
	if (!with_digest && line != NULL)
		memset(line, '#', strcspn(line, "\n"));
	ok(line != NULL && read_text(text, len, &e), "%s, %s digest: reads back (%s)", s.method,
		with_digest ? "with" : "without", e.text);
	for (size_t i = 0; i < len; i++) {
		char was = text[i], to = was == '9' ? '4' : (char)(was + 1);

		if (!of_number(text, i))
			continue;
		key_of(text, i, key, sizeof(key));
		/* Below the last bits of a double nothing is another number; what follows
		 * from sums of sums is known to fewer of them. */
		if ((!with_digest && is_unfounded(key)) ||
			change(text, i, to) < (with_digest                                 ? 1e-15
							      : strcmp(key, "sum_gn") == 0 ? 1e-11
											   : 4e-15))
			continue;
		if (!with_digest && strcmp(key, "seed") == 0 && method != REAP_RANDOM)
			continue;
		text[i] = to;
		tried++;
		e = (struct reap_err){0};
		if (read_text(text, len, &e)) {
			passed++;
			if (first[0] == '\0')
				snprintf(first, sizeof(first), "%.20s, byte %zu: %c for %c", key, i,
					to, was);
		}
		text[i] = was;
	}
	ok(tried > 1000 && passed == 0, "%s, %s digest: of %zu digits %zu pass (%s)", s.method,
		with_digest ? "with" : "without", tried, passed, first);
	free(text);
	reap_scores_free(&s);
}

int main(void)
{
	edit_all(REAP_EAFT_SUM, false);
	edit_all(REAP_EAFT_MEAN, false);
	edit_all(REAP_EAFT_SUM, true);
	edit_all(REAP_MAX_ACTIVATIONS, true);
	return tap_done();
}
