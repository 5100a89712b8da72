// A program that launches one kernel as a file tells it, for the sanitizers: they watch a whole process.
//
//     program LAUNCH RESULTS
//
// LAUNCH holds, in the machine's own byte order: the length of the kernel's name and the name; grid and block, 3 + 3
// numbers of 32 bits; bytes of dynamic shared memory (64); order (32); seed (64); the number of arguments (32), and each
// as its kind (32): 0 a value, 1 an array, both with a length (64) and so many bytes; 2 a table of arrays, with the number
// of its pointers (32) and for each a length (64, -1 for a null pointer) and so many bytes.  RESULTS gets the bytes of all
// arrays, in that order.  Every array is an allocation of its own.
#pragma once

namespace driver {

using Launch = const char* (*)(const unsigned*, const unsigned*, size_t, void**, unsigned, uint64_t);

struct Entry {
    const char* name;
    Launch launch;
    Entry* next;
    static inline Entry* all = nullptr;
    Entry(const char* name_, Launch launch_) : name(name_), launch(launch_), next(all) { all = this; }
};

struct Reader {
    FILE* file;
    void bytes(void* to, size_t count) {
        if (count && fread(to, 1, count, file) != count) exit(2);
    }
    template <class N>
    N number() {
        N n;
        bytes(&n, sizeof n);
        return n;
    }
    char* block(size_t count) {
        char* made = static_cast<char*>(malloc(count));
        bytes(made, count);
        return made;
    }
};

inline int run(const char* launch_file, const char* results_file) {
    const emulator::Quiet quiet;
    Reader in{fopen(launch_file, "rb")};
    if (!in.file) return 2;
    std::vector<char> name(in.number<uint32_t>() + 1, 0);
    in.bytes(name.data(), name.size() - 1);
    unsigned grid[3], block[3];
    in.bytes(grid, sizeof grid);
    in.bytes(block, sizeof block);
    const auto shared = in.number<uint64_t>();
    const auto order = in.number<uint32_t>();
    const auto seed = in.number<uint64_t>();
    std::vector<void*> arguments(in.number<uint32_t>());
    std::vector<std::pair<char*, size_t>> arrays;
    for (void*& argument : arguments) {
        const auto kind = in.number<uint32_t>();
        if (kind == 2) {
            const auto count = in.number<uint32_t>();
            auto** table = new void*[count];
            for (uint32_t i = 0; i < count; i++) {
                const auto length = in.number<int64_t>();
                table[i] = length < 0 ? nullptr : in.block(size_t(length));
                if (length >= 0) arrays.emplace_back(static_cast<char*>(table[i]), size_t(length));
            }
            argument = table;
        } else {
            const auto length = in.number<uint64_t>();
            char* data = in.block(length);
            argument = data;
            if (kind == 1) {
                arrays.emplace_back(data, length);
                argument = new void*(data);
            }
        }
    }
    fclose(in.file);
    for (Entry* entry = Entry::all; entry; entry = entry->next)
        if (strcmp(entry->name, name.data()) == 0) {
            if (const char* failure = entry->launch(grid, block, shared, arguments.data(), order, seed)) {
                fprintf(stderr, "emulator: %s\n", failure);
                return 3;
            }
            FILE* out = fopen(results_file, "wb");
            for (auto& [data, length] : arrays) fwrite(data, 1, length, out);
            return fclose(out) == 0 ? 0 : 2;
        }
    fprintf(stderr, "emulator: there is no kernel %s\n", name.data());
    return 3;
}

}  // namespace driver

#ifdef TG_MEMORY
#define TG_ACCESSES(bytes)                                                                                        \
    extern "C" TG_UNSEEN void __asan_load##bytes##_noabort(void* p) {                                             \
        emulator::check(p, bytes, __builtin_return_address(0));                                                   \
    }                                                                                                             \
    extern "C" TG_UNSEEN void __asan_store##bytes##_noabort(void* p) { emulator::mark(p, bytes, true); }
TG_ACCESSES(1)
TG_ACCESSES(2)
TG_ACCESSES(4)
TG_ACCESSES(8)
TG_ACCESSES(16)
extern "C" TG_UNSEEN void __asan_loadN_noabort(void* p, size_t bytes) {
    emulator::check(p, bytes, __builtin_return_address(0));
}
extern "C" TG_UNSEEN void __asan_storeN_noabort(void* p, size_t bytes) { emulator::mark(p, bytes, true); }
extern "C" TG_UNSEEN void __asan_handle_no_return() {}
extern "C" TG_UNSEEN void __asan_before_dynamic_init(const char*) {}
extern "C" TG_UNSEEN void __asan_after_dynamic_init() {}
#endif

int main(int count, char** words) {
    const int code = count == 3 ? driver::run(words[1], words[2]) : 2;
    fflush(stderr);
    _exit(code);  // what the emulator has left is nobody's business
}
