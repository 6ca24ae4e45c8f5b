/* command_line.c - the whole program, without what is behind portico.h: as it is a plain embedder, it gets a host of
 * cardboard here. The input is the command line: words that end with a NUL, or, if there is none, with a new line. */
#include <string.h>

#include "capture.h"
#include "fuzz.h"
#include "json.h"
#include "portico.h"

enum { WORDS_MAX = 64 };

int cli_main(int argc, char **argv); /* main of src/cli/main.c */

struct portico_host {
  portico_config config;
  const char    *error;
};

static struct {
  portico_host host;
  unsigned     opened, closed, started;
  int          argc; /* of the whole command line */
  char       **argv;
} stage;

/* ---- the host of cardboard ---- */

const char *portico_version(void) {
  return PORTICO_VERSION;
}

void portico_stdio_open(void) {
}

size_t portico_stderr_offer(const void *data, size_t len) {
  return fwrite(data, 1, len, stderr);
}

void portico_stdio_binary(void) {
}

void portico_return_memory(void) {
}

int portico_open(const portico_config *config, portico_host **out_host) {
  REQUIRE(config->workers <= 1024 && config->concurrency <= 1024 && config->vms <= 1024);
  REQUIRE(config->memory_bytes <= (size_t)1 << 40 && config->budget_ms <= 3600000);
  REQUIRE(config->log_level <= PORTICO_LOG_OFF);
  if (config->backend != NULL && strcmp(config->backend, "auto") != 0) return PORTICO_ENOTSUP;
  stage.host.config = *config;
  stage.opened++;
  *out_host = &stage.host;
  return 0;
}

/* The words of the script are the last ones of the command line. */
static void check_words(int argc, const char *const *argv) {
  REQUIRE(argc >= 0 && argc < stage.argc);
  for (int i = 0; i < argc; i++) REQUIRE(argv[i] == stage.argv[stage.argc - argc + i]);
}

int portico_load_file(portico_host *host, const char *path, int argc, const char *const *argv) {
  check_words(argc, argv);
  host->error = "no such file";
  if (strstr(path, ".lua") == NULL) return PORTICO_ENOFILE;
  host->error = "x.lua:1: syntax error";
  return strncmp(path, "bad", 3) == 0 ? PORTICO_ESCRIPT : 0;
}

/* No folder is looked through: what is named is there, unless its name says otherwise. */
int portico_find_files(const char *path, const char *suffix, void (*on_file)(const char *path, void *arg), void *arg) {
  REQUIRE(suffix[0] == '\0' || suffix[0] == '_' || suffix[0] == '.');
  if (path[0] == '\0' || strstr(path, "none") != NULL) return PORTICO_ENOFILE;
  on_file(path, arg);
  return 1;
}

int portico_load_string(portico_host *host, const char *name, const char *text, size_t len, int argc,
                        const char *const *argv) {
  bool tool = strncmp(name, "portico.", 8) == 0; /* test and replay put the words together themselves */
  if (!tool) check_words(argc, argv);
  for (int i = 0; i < argc; i++) REQUIRE(argv[i] != NULL);
  REQUIRE(strlen(text) == len && strstr(name, ".lua") != NULL);
  host->error = "";
  return 0;
}

/* The script logs its last word, on some day from 1970 on. */
int portico_start(portico_host *host) {
  portico_log_record record = {.level = PORTICO_LOG_WARN, .text = stage.argv[stage.argc - 1]};
  record.unix_ns = (int64_t)(strlen(record.text) * 61 % 36525) * 86400 * 1000000000;
  record.vm = (unsigned)stage.argc % 3;
  if (host->config.log_level <= record.level) host->config.log_fn(&record, host->config.log_arg);
  stage.started++;
  return strstr(record.text, "raise") != NULL ? PORTICO_ESCRIPT : 0;
}

int portico_wait(portico_host *host, int *out_exit_code) {
  (void)host;
  *out_exit_code = 0;
  return 0;
}

void portico_interrupt(portico_host *host, double grace_seconds) {
  (void)host, (void)grace_seconds;
}

const char *portico_last_error(const portico_host *host) {
  return host->error;
}

void portico_close(portico_host *host) {
  REQUIRE(host == &stage.host);
  stage.closed++;
}

/* The program must not take the signals of the fuzzer. */
typedef void fuzz_signal_handler(int number);
fuzz_signal_handler *fuzz_signal(int number, fuzz_signal_handler *handler);
fuzz_signal_handler *fuzz_signal(int number, fuzz_signal_handler *handler) {
  (void)number, (void)handler;
  return NULL;
}

/* ---- what it says ---- */

/* "portico: ..." and a new line, nothing else. */
static void check_one_complaint(char *err) {
  size_t len = strlen(err);
  REQUIRE(len > 0 && err[len - 1] == '\n');
  err[len - 1] = '\0';
  REQUIRE(strncmp(err, "portico: ", 9) == 0 && fuzz_one_line(err));
}

/* What was logged as JSON is one object a line. */
static void check_json_lines(char *err) {
  for (char *line = err, *end; *line != '\0'; line = end + 1) {
    end = strchr(line, '\n');
    REQUIRE(end != NULL);
    if (*line == '{') REQUIRE(json_is_object(line, (size_t)(end - line)));
  }
}

static void check_said(int code, const char *out, char *err) {
  REQUIRE(code == 0 || code == 1 || code == 2);
  REQUIRE(stage.opened == stage.closed && stage.started <= stage.opened);
  if (code == 2) {
    REQUIRE(stage.opened == 0 && out[0] == '\0');
    check_one_complaint(err);
    return;
  }
  if (code == 1) REQUIRE(stage.started <= 1 && out[0] == '\0' && err[0] != '\0');
  if (code == 0 && stage.started == 0) REQUIRE(err[0] == '\0');
  check_json_lines(err);
}

/* ---- the words ---- */

static char **split_words(char *text, size_t len, int *out_count) {
  static char *words[WORDS_MAX + 2];
  char         ends = memchr(text, '\0', len) != NULL ? '\0' : '\n';
  int          count = 0;
  words[count++] = (char *)"portico";
  for (char *word = text; word < text + len && count <= WORDS_MAX;) {
    char *end = memchr(word, ends, (size_t)(text + len - word));
    if (end == NULL) end = text + len;
    *end = '\0';
    words[count++] = word;
    word = end + 1;
  }
  words[count] = NULL;
  *out_count = count;
  return words;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  char *text = fuzz_text(data, len);
  memset(&stage, 0, sizeof stage);
  stage.argv = split_words(text, len, &stage.argc);
  captured said;
  capture_begin();
  int code = cli_main(stage.argc, stage.argv);
  if (capture_end(&said)) check_said(code, said.out, said.err);
  free(said.out);
  free(said.err);
  free(text);
  return 0;
}
