/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/nbd.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/module.h"

#ifdef NBD_MODULE

/* The module of the build tree goes before the installed one. */
static const char *const places[] = {
	NBD_MODULE, "src/block/" NBD_MODULE, NBD_MODULE_DIR "/" NBD_MODULE,
};

/* RTLD_GLOBAL: the dynamic linker remembers for us that it is loaded. */
static void *load(const char *path, char *why, size_t why_size)
{
	void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	const char *error = module ? NULL : dlerror();

	if (error)
		snprintf(why, why_size, "NBD module: %s", error);
	return module;
}

static void *find_and_load(char *why, size_t why_size)
{
	char path[PATH_MAX + 64];

	/* One that is nowhere is tried all the same: the error is dlopen()'s to tell. */
	module_find(places, sizeof(places) / sizeof(places[0]), path, sizeof(path));
	return load(path, why, why_size);
}

static nbd_module_fn *find_create(void *module)
{
	nbd_module_fn *create;

	*(void **)&create = dlsym(module, NBD_MODULE_SYMBOL);
	return create;
}

/* Loads the module, from @path or from where it is. */
static nbd_module_fn *load_create(const char *path, char *why, size_t why_size)
{
	void *module = path ? load(path, why, why_size) : find_and_load(why, why_size);
	nbd_module_fn *create = module ? find_create(module) : NULL;

	if (module && !create)
		snprintf(why, why_size, "NBD module: %s", dlerror());
	return create;	/* stays loaded */
}

int nbd_preload(const char *path, char *why, size_t why_size)
{
	return load_create(path, why, why_size) ? 0 : -ELIBACC;
}

int nbd_block_load(const char *path, struct loop *loop, const struct block_nbd_config *config,
		   struct block **ret_block, char *why, size_t why_size)
{
	nbd_module_fn *create = path ? NULL : find_create(RTLD_DEFAULT);

	if (!create)
		create = load_create(path, why, why_size);
	if (create)
		return create(loop, config, ret_block, why, why_size);
	return -ELIBACC;
}

#else

static const char no_libnbd[] =
	"this mpqemu was built without libnbd: it serves raw images only";

int nbd_preload(const char *path, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s", no_libnbd);
	return -ENOSYS;
}

int nbd_block_load(const char *path, struct loop *loop, const struct block_nbd_config *config,
		   struct block **ret_block, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s", no_libnbd);
	return -ENOSYS;
}

#endif

int nbd_block_create(struct loop *loop, const struct block_nbd_config *config,
		     struct block **ret_block, char *why, size_t why_size)
{
	return nbd_block_load(NULL, loop, config, ret_block, why, why_size);
}
