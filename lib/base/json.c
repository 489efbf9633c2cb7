// SPDX-License-Identifier: MPL-2.0
// The JSON writer: a stack of open brackets, and strings that are always valid whatever came from outside.
#include <skua-int/json.h>

#include <skua-int/mem.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

static bool
make_room(skua__json *json, size_t size) {
    if (json->capacity - json->used > size) { /* one more for the final 0 */
        return true;
    }
    size_t capacity = json->capacity ? json->capacity : FIRST_CAPACITY;
    while (capacity - json->used <= size) {
        if (capacity > SIZE_MAX / 2) {
            return false;
        }
        capacity *= 2;
    }
    char *bigger = skua__mem_resize(json->hook, json->text, capacity);
    if (!bigger) {
        return false;
    }
    json->text = bigger;
    json->capacity = capacity;
    return true;
}

static void
put(skua__json *json, const char *bytes, size_t size) {
    if (json->failed) {
        return;
    }
    if (json->file) {
        json->failed = fwrite(bytes, 1, size, json->file) != size;
    } else if (make_room(json, size)) {
        memcpy(json->text + json->used, bytes, size);
        json->used += size;
        json->text[json->used] = 0;
    } else {
        json->failed = true;
    }
}

void
skua__json_to_file(skua__json *json, FILE *file) {
    *json = (skua__json){.file = file};
}

void
skua__json_to_memory(skua__json *json, const skua_allocator *hook) {
    *json = (skua__json){.hook = hook};
}

void
skua__json_fini(skua__json *json) {
    if (!json->file) {
        json->text = skua__mem_free(json->hook, json->text);
        json->used = json->capacity = 0;
    }
}

bool
skua__json_end(skua__json *json) {
    if (json->depth > 0 || !json->started || json->after_key) {
        json->failed = true;
    }
    if (json->file) {
        put(json, "\n", 1);
        if (fflush(json->file) != 0) {
            json->failed = true;
        }
        json->started = false;
    }
    return !json->failed;
}

/* Before each value: the comma, and the check that a value may stand here. */
static bool
begin_value(skua__json *json) {
    if (json->depth == 0) {
        if (json->started) {
            json->failed = true; /* a document has one outermost value */
        }
        json->started = true;
    } else if (json->open[json->depth - 1] == '{') {
        if (!json->after_key) {
            json->failed = true;
        }
        json->after_key = false;
    } else {
        if (json->has_items[json->depth - 1]) {
            put(json, ",", 1);
        }
        json->has_items[json->depth - 1] = true;
    }
    return !json->failed;
}

static void
open_level(skua__json *json, char bracket) {
    if (!begin_value(json)) {
        return;
    }
    if (json->depth == SKUA__JSON_DEPTH) {
        json->failed = true;
        return;
    }
    json->open[json->depth] = bracket;
    json->has_items[json->depth] = false;
    json->depth++;
    put(json, &bracket, 1);
}

static void
close_level(skua__json *json, char bracket, char closing) {
    if (json->depth == 0 || json->open[json->depth - 1] != bracket || json->after_key) {
        json->failed = true;
        return;
    }
    json->depth--;
    put(json, &closing, 1);
}

void
skua__json_object(skua__json *json) {
    open_level(json, '{');
}

void
skua__json_object_end(skua__json *json) {
    close_level(json, '{', '}');
}

void
skua__json_array(skua__json *json) {
    open_level(json, '[');
}

void
skua__json_array_end(skua__json *json) {
    close_level(json, '[', ']');
}

/*
 * The length of the well-formed UTF-8 sequence at bytes (RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF), or 0.
 */
static size_t
utf8_length(const unsigned char *bytes, size_t left) {
    unsigned char first = bytes[0];
    size_t length;
    unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
    if (first < 0x80) {
        return 1;
    } else if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
        length = 3;
        low = first == 0xe0 ? 0xa0 : low;
        high = first == 0xed ? 0x9f : high;
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        low = first == 0xf0 ? 0x90 : low;
        high = first == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (left < length || bytes[1] < low || bytes[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xbf) {
            return 0;
        }
    }
    return length;
}

static void
put_escaped(skua__json *json, unsigned char byte) {
    static const char named[][2] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                    {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
    char text[8];
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if ((unsigned char)named[i][0] == byte) {
            text[0] = '\\';
            text[1] = named[i][1];
            put(json, text, 2);
            return;
        }
    }
    snprintf(text, sizeof text, "\\u%04x", byte);
    put(json, text, 6);
}

static void
put_string(skua__json *json, const unsigned char *bytes, size_t size) {
    put(json, "\"", 1);
    size_t plain = 0; /* where the run of bytes that need no change began */
    for (size_t at = 0; at < size;) {
        size_t length = utf8_length(bytes + at, size - at);
        bool as_it_is = length > 1 || (length == 1 && bytes[at] >= 0x20 && bytes[at] != '"' &&
                                       bytes[at] != '\\' && bytes[at] != 0x7f);
        if (as_it_is) {
            at += length;
            continue;
        }
        put(json, (const char *)bytes + plain, at - plain);
        if (length == 0) {
            put(json, "\\ufffd", 6);
        } else {
            put_escaped(json, bytes[at]);
        }
        at++;
        plain = at;
    }
    put(json, (const char *)bytes + plain, size - plain);
    put(json, "\"", 1);
}

void
skua__json_key(skua__json *json, const char *key) {
    if (json->depth == 0 || json->open[json->depth - 1] != '{' || json->after_key) {
        json->failed = true;
        return;
    }
    if (json->has_items[json->depth - 1]) {
        put(json, ",", 1);
    }
    json->has_items[json->depth - 1] = true;
    json->after_key = true;
    put_string(json, (const unsigned char *)key, strlen(key));
    put(json, ":", 1);
}

void
skua__json_text_n(skua__json *json, const void *bytes, size_t size) {
    if (begin_value(json)) {
        put_string(json, size ? bytes : "", size);
    }
}

void
skua__json_text(skua__json *json, const char *text) {
    if (text) {
        skua__json_text_n(json, text, strlen(text));
    } else {
        skua__json_null(json);
    }
}

static void
put_word(skua__json *json, const char *word) {
    if (begin_value(json)) {
        put(json, word, strlen(word));
    }
}

void
skua__json_i64(skua__json *json, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    put_word(json, text);
}

void
skua__json_u64(skua__json *json, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    put_word(json, text);
}

void
skua__json_double(skua__json *json, double value) {
    if (!isfinite(value)) {
        skua__json_null(json);
        return;
    }
    char text[40];
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value) {
        snprintf(text, sizeof text, "%.17g", value);
    }
    /* The program may have set a locale whose decimal point is no point, of one byte or of several. */
    char *from = text, *to = text;
    for (bool pointed = false; *from; from++) {
        bool in_number = strchr("0123456789eE+-", *from) != NULL;
        if (in_number) {
            *to++ = *from;
        } else if (!pointed) {
            *to++ = '.';
            pointed = true;
        }
    }
    *to = 0;
    put_word(json, text);
}

void
skua__json_bool(skua__json *json, bool value) {
    put_word(json, value ? "true" : "false");
}

void
skua__json_null(skua__json *json) {
    put_word(json, "null");
}

void
skua__json_put_text(skua__json *json, const char *key, const char *text) {
    skua__json_key(json, key);
    skua__json_text(json, text);
}

void
skua__json_put_i64(skua__json *json, const char *key, int64_t value) {
    skua__json_key(json, key);
    skua__json_i64(json, value);
}

void
skua__json_put_u64(skua__json *json, const char *key, uint64_t value) {
    skua__json_key(json, key);
    skua__json_u64(json, value);
}

void
skua__json_put_double(skua__json *json, const char *key, double value) {
    skua__json_key(json, key);
    skua__json_double(json, value);
}

void
skua__json_put_bool(skua__json *json, const char *key, bool value) {
    skua__json_key(json, key);
    skua__json_bool(json, value);
}
