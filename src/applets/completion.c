/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu --completion SHELL: a script that completes the command lines of all applets, made of the
 * tables that their parsers go by.
 */
#include "applets/completion.h"

#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "applets/applet.h"

struct writer {
	const char *applet;		/* the program's name */
};

static const struct {
	const char *name;
	void (*list)(completion_fn *row, void *opaque);
} sources[] = {
	{ "mpqemu-orchestrate", orchestrate_complete },
	{ "mpqemu-proxy", proxy_complete },
	{ "mpqemu-remote", remote_complete },
};

#define OWN_WORDS "--list --install --completion --help --version"

/* ---- What an option takes ---- */

/* "a|b|c", lower-case words only: these are all there are. */
static bool is_choice(const char *args)
{
	return args && strchr(args, '|') && !args[strspn(args, "abcdefghijklmnopqrstuvwxyz"
							       "0123456789-_|")];
}

static bool is_path(const char *args)
{
	return args && (strstr(args, "FILE") || strstr(args, "PATH") || strstr(args, "PROGRAM") ||
			strstr(args, "FOLDER"));
}

/* @args with spaces between the words. */
static char *choices(const char *args)
{
	return g_strdelimit(g_strdup(args), "|", ' ');
}

/* @text between single quotes, as every shell here reads it. */
static char *quote(const char *text)
{
	GString *s = g_string_new("'");

	for (; text && *text; text++) {
		if (*text == '\'')
			g_string_append(s, "'\\''");
		else
			g_string_append_c(s, *text);
	}
	g_string_append_c(s, '\'');
	return g_string_free(s, false);
}

/* ---- bash ---- */

static const char bash_head[] =
	"# bash completion of mpqemu; made by mpqemu --completion bash\n"
	"# APPLET:VERB: the words that may stand there; APPLET:VERB:OPTION: what it takes\n"
	"declare -gA _mpqemu_words=() _mpqemu_values=()\n"
	"_mpqemu_words[mpqemu:]='";

static const char bash_tail[] =
	"_mpqemu()\n"
	"{\n"
	"	local line=${COMP_LINE:0:COMP_POINT} name=${1##*/} verb= cur= key= values= word i\n"
	"	local -a words\n"
	"	read -ra words <<< \"$line\"\n"
	"	[[ $line == *[[:space:]] ]] || { cur=${words[-1]}; unset 'words[-1]'; }\n"
	"	[[ $name == mpqemu && ${#words[@]} -gt 1 ]] &&\n"
	"		name=mpqemu-${words[1]#mpqemu-} words=(\"${words[@]:1}\")\n"
	"	for ((i = 1; i < ${#words[@]}; i++)); do\n"
	"		word=${words[i]}\n"
	"		# Behind it stands the command line of another program.\n"
	"		[[ $word == -- ]] && { compopt -o default; return; }\n"
	"		[[ -n ${_mpqemu_words[$name:$word]+is} ]] && verb=$word\n"
	"	done\n"
	"	if [[ $cur == --*=* ]]; then\n"
	"		key=${cur%%=*}= cur=${cur#*=}\n"
	"	elif ((${#words[@]} > 1)); then\n"
	"		key=${words[-1]}\n"
	"		[[ $key == --* && -n ${_mpqemu_values[$name::${key#-}]+is} ]] &&\n"
	"			key=${key#-}\n"
	"	fi\n"
	"	for word in \"$name:$verb:$key\" \"$name::$key\"; do\n"
	"		[[ -n $key && -n ${_mpqemu_values[$word]+is} ]] || continue\n"
	"		values=${_mpqemu_values[$word]}\n"
	"		[[ $values == @path ]] && { compopt -o default; return; }\n"
	"		# readline's word begins behind a \"=\", if that parts words.\n"
	"		[[ $key == *= && $COMP_WORDBREAKS != *=* ]] && i=$key || i=\n"
	"		COMPREPLY=($(compgen -P \"$i\" -W \"$values\" -- \"$cur\"))\n"
	"		return\n"
	"	done\n"
	"	COMPREPLY=($(compgen -W \"${_mpqemu_words[$name:]} "
	"${verb:+${_mpqemu_words[$name:$verb]}}\" -- \"$cur\"))\n"
	"	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
	"	[[ -n $verb && $cur != -* ]] && compopt -o default\n"
	"	return 0\n"
	"}\n"
	"complete -F _mpqemu mpqemu mpqemu-orchestrate mpqemu-proxy mpqemu-remote\n";

static void bash_values(const char *applet, const char *verb, const char *key, const char *args)
{
	g_autofree char *list = is_path(args) ? g_strdup("@path") :
				is_choice(args) ? choices(args) : g_strdup("");
	g_autofree char *quoted = quote(list);

	printf("_mpqemu_values[%s:%s:%s]=%s\n", applet, verb ? verb : "", key, quoted);
}

static void bash_row(void *opaque, const struct completion_row *row)
{
	struct writer *w = opaque;
	const char *verb = row->verb ? row->verb : "", *dash = "--", *end = "";
	g_autofree char *key = NULL;

	if (row->kind == COMPLETION_VERB) {
		printf("_mpqemu_words[%s:]+=' %s'\n_mpqemu_words[%s:%s]+=' '\n", w->applet,
		       row->word, w->applet, row->word);
		return;
	}
	if (row->kind == COMPLETION_QEMU)
		dash = "-";
	else if (row->args && row->kind == COMPLETION_OWN)
		end = "=";
	printf("_mpqemu_words[%s:%s]+=' %s%s%s'\n", w->applet, verb, dash, row->word, end);
	if (!row->args)
		return;
	key = g_strconcat(dash, row->word, end, NULL);
	bash_values(w->applet, row->verb, key, row->args);
	if (row->kind == COMPLETION_BOTH) {
		g_autofree char *joined = g_strconcat(key, "=", NULL);

		bash_values(w->applet, row->verb, joined, row->args);
	}
}

/* ---- zsh ---- */

/* For _arguments: a help text stands in [], what is taken behind colons. */
static char *zsh_escape(const char *text)
{
	GString *s = g_string_new(NULL);

	for (; text && *text; text++) {
		if (strchr("[]:\\", *text))
			g_string_append_c(s, '\\');
		g_string_append_c(s, *text);
	}
	return g_string_free(s, false);
}

static void zsh_spec(const char *word, const char *help, const char *args)
{
	g_autofree char *name = args ? zsh_escape(args) : NULL;
	g_autofree char *list = args && is_choice(args) ? choices(args) : NULL;
	g_autofree char *text = zsh_escape(help ? help : "");
	g_autofree char *spec = g_strconcat("*", word, "[", text, "]", args ? ":" : "",
					    args ? name : "", args ? ":" : "",
					    list ? "(" : is_path(args) ? "_files" : "",
					    list ? list : "", list ? ")" : "", NULL);
	g_autofree char *quoted = quote(spec);

	printf("		%s\n", quoted);
}

static void zsh_row(void *opaque, const struct completion_row *row)
{
	const char *tail = !row->args ? "" : row->kind == COMPLETION_OWN ? "=-" :
			   row->kind == COMPLETION_BOTH ? "=" : "";
	g_autofree char *word = g_strconcat(row->kind == COMPLETION_QEMU ? "-" : "--", row->word,
					    tail, NULL);

	if (row->kind != COMPLETION_VERB)
		zsh_spec(word, row->help, row->args);
}

/* The verbs of an applet: @opaque is a GString. */
static void zsh_verb(void *opaque, const struct completion_row *row)
{
	GString *verbs = opaque;

	if (row->kind == COMPLETION_VERB)
		g_string_append_printf(verbs, "%s%s", verbs->len ? " " : "", row->word);
}

static const char zsh_head[] =
	"#compdef mpqemu mpqemu-orchestrate mpqemu-proxy mpqemu-remote\n"
	"# zsh completion of mpqemu; made by mpqemu --completion zsh\n"
	"_mpqemu()\n"
	"{\n"
	"	local name=${words[1]:t} curcontext=$curcontext state line\n"
	"	local -a specs\n"
	"	local -A opt_args\n"
	"	if [[ $name == mpqemu ]]; then\n"
	"		if ((CURRENT == 2)); then\n"
	"			compadd -- orchestrate proxy remote " OWN_WORDS "\n"
	"			return\n"
	"		fi\n"
	"		shift words\n"
	"		((CURRENT--))\n"
	"		name=mpqemu-${words[1]#mpqemu-}\n"
	"	fi\n"
	"	if ((${words[(i)--]} < CURRENT)); then\n"
	"		_default\n"
	"		return\n"
	"	fi\n"
	"	case $name in\n";

static const char zsh_tail[] =
	"	esac\n"
	"	_arguments $specs '*: :_files'\n"
	"}\n"
	"if [[ ${funcstack[1]} == _mpqemu ]]; then\n"
	"	_mpqemu \"$@\"\n"
	"else\n"
	"	compdef _mpqemu mpqemu mpqemu-orchestrate mpqemu-proxy mpqemu-remote\n"
	"fi\n";

static void zsh_script(void)
{
	fputs(zsh_head, stdout);
	for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
		g_autoptr(GString) verbs = g_string_new(NULL);

		sources[i].list(zsh_verb, verbs);
		printf("	%s)\n		specs=(\n", sources[i].name);
		if (verbs->len)
			printf("		'1: :(%s)'\n", verbs->str);
		sources[i].list(zsh_row, NULL);
		printf("		) ;;\n");
	}
	fputs(zsh_tail, stdout);
}

/* ---- fish ---- */

/* One row, for the applet's own name or, with @role, for "mpqemu ROLE". */
static void fish_print(const char *applet, const char *role, const struct completion_row *row)
{
	g_autofree char *help = quote(row->help ? row->help : "");
	g_autofree char *list = row->args && is_choice(row->args) ? choices(row->args) : NULL;
	g_autofree char *words = list ? quote(list) : NULL;
	const char *seen = "__fish_seen_subcommand_from";

	printf("complete -c %s", role ? "mpqemu" : applet);
	if (role && row->verb)
		printf(" -n '%s %s; and %s %s'", seen, role, seen, row->verb);
	else if (role || row->verb)
		printf(" -n '%s %s'", seen, role ? role : row->verb);
	else if (row->kind == COMPLETION_VERB)
		printf(" -n __fish_use_subcommand");
	if (row->kind == COMPLETION_VERB) {
		printf(" -a %s -d %s\n", row->word, help);
		return;
	}
	printf(" %s %s", row->kind == COMPLETION_QEMU ? "-o" : "-l", row->word);
	if (row->args)
		printf(" %s", is_path(row->args) ? "-rF" : "-x");
	printf("%s%s -d %s\n", words ? " -a " : "", words ? words : "", help);
}

static void fish_row(void *opaque, const struct completion_row *row)
{
	const struct writer *w = opaque;

	fish_print(w->applet, NULL, row);
	fish_print(w->applet, w->applet + strlen("mpqemu-"), row);
}

static void fish_script(void)
{
	printf("# fish completion of mpqemu; made by mpqemu --completion fish\n"
	       "complete -c mpqemu -n __fish_use_subcommand -f -a "
	       "'orchestrate proxy remote %s'\n", OWN_WORDS);
	for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
		struct writer w = { sources[i].name };

		sources[i].list(fish_row, &w);
	}
}

/* ---- all ---- */

static void bash_script(void)
{
	printf("%sorchestrate proxy remote %s'\n", bash_head, OWN_WORDS);
	for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
		struct writer w = { sources[i].name };

		sources[i].list(bash_row, &w);
	}
	fputs(bash_tail, stdout);
}

static const struct {
	const char *name;
	void (*print)(void);
} shells[] = {
	{ "bash", bash_script },
	{ "zsh", zsh_script },
	{ "fish", fish_script },
};

int completion_main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < G_N_ELEMENTS(shells); i++) {
		if (strcmp(argv[1], shells[i].name))
			continue;
		shells[i].print();
		return fflush(stdout) || ferror(stdout) ? 1 : 0;
	}
	fprintf(stderr, "usage: mpqemu --completion bash|zsh|fish\n");
	return 1;
}
