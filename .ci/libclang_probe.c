/* Exits with 0 if the libclang in argv[1] loads and parses a header with clang's own includes, as bindgen will ask of it.
 * A libclang without its resource headers (Debian's libclang1 without libclang-common-dev) loads, and fails here. */
#include <dlfcn.h>
#include <stdio.h>

struct unsaved_file {
    const char *name;
    const char *contents;
    unsigned long length;
};

int main(int argc, char **argv) {
    static const char header[] = "#include <stdarg.h>\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n"
                                 "extern size_t probe(uint64_t, bool, va_list);\n";
    struct unsaved_file file = {"probe.h", header, sizeof(header) - 1};
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (library == NULL) {
        fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "usage: libclang_probe FILE");
        return 2;
    }
    void *(*create_index)(int, int) = (void *(*)(int, int))dlsym(library, "clang_createIndex");
    void *(*parse)(void *, const char *, const char *const *, int, struct unsaved_file *, unsigned, unsigned) =
        (void *(*)(void *, const char *, const char *const *, int, struct unsaved_file *, unsigned, unsigned))
            dlsym(library, "clang_parseTranslationUnit");
    unsigned (*diagnostics)(void *) = (unsigned (*)(void *))dlsym(library, "clang_getNumDiagnostics");
    if (create_index == NULL || parse == NULL || diagnostics == NULL) {
        return 3;
    }
    void *unit = parse(create_index(0, 1), "probe.h", NULL, 0, &file, 1, 0);
    return unit != NULL && diagnostics(unit) == 0 ? 0 : 4;
}
