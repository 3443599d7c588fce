/* jansson without memory: the process ends, with nothing read wrongly. */
#include <criterion/criterion.h>

#include <jansson.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "memory/failing.h"

/* Strings past the first sizes of jansson's buffer. */
static const char text[] =
    "{\"a\":\"annabella annabella annabella annabella annabella\",\"b\":[1,2]}";

/* Reads the text in a process of its own with the n-th allocation failing; its exit code: 0 it was
 * read right and nothing failed, 1 it was read, and something failed. */
static int
read_with(uint64_t n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		/* What it says at its end is not for the test's log. */
		if (!freopen("/dev/null", "we", stderr))
			_exit(3);
		memory_guard_json();
		failing_begin(n, false);
		json_t *document = json_loadb(text, sizeof text - 1, 0, NULL);
		bool failed = failing_end();
		bool is_right = strlen(json_string_value(json_object_get(document, "a"))) == 49;
		json_decref(document);
		_exit(!is_right ? 2 : failed);
	}
	cr_assert_gt(pid, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "ended by %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

Test(json, ends_the_process_rather_than_read_something_else)
{
	uint64_t n = 1;
	int code;

	while ((code = read_with(n)) != 0) {
		cr_assert_eq(code, MEMORY_EXIT, "allocation %lu", n);
		n++;
	}
	cr_assert_gt(n, 5);
}
