// SPDX-License-Identifier: MPL-2.0
// UUIDs, names and addresses: as text and back.
#include <skua-int/ids.h>

#include <arpa/inet.h>

skua__uuid
skua__uuid_of_random(const uint8_t random[16]) {
    skua__uuid uuid;
    memcpy(uuid.bytes, random, sizeof uuid.bytes);
    uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40); /* RFC 4122: version 4 */
    uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80); /* and its variant */
    return uuid;
}

static bool
dash_before(size_t byte) {
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

char *
skua__uuid_text(const skua__uuid *uuid, char ret[SKUA_UUID_TEXT]) {
    static const char digits[] = "0123456789abcdef";
    char *at = ret;
    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        if (dash_before(i)) {
            *at++ = '-';
        }
        *at++ = digits[uuid->bytes[i] >> 4];
        *at++ = digits[uuid->bytes[i] & 15];
    }
    *at = 0;
    return ret;
}

/* The value of a hex digit, or 16. */
static unsigned
digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return (unsigned)(c - 'a') + 10;
    }
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 16;
}

bool
skua__uuid_parse(const char *text, skua__uuid *ret) {
    skua__uuid uuid;
    if (!text || strlen(text) != SKUA_UUID_TEXT - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof uuid.bytes; i++, text += 2) {
        if (dash_before(i) && *text++ != '-') {
            return false;
        }
        unsigned high = digit_of(text[0]), low = digit_of(text[1]);
        if (high > 15 || low > 15) {
            return false;
        }
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = uuid;
    return true;
}

bool
skua__name_bytes_valid(const void *bytes, size_t length) {
    const char *text = bytes;
    if (length < 1 || length >= SKUA_NAME_BYTES) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool mark = c == '.' || c == '_' || c == '-';
        if (!plain && !(mark && i > 0)) {
            return false;
        }
    }
    return true;
}

bool
skua__name_valid(const char *name) {
    return name && skua__name_bytes_valid(name, strnlen(name, SKUA_NAME_BYTES));
}

char *
skua__address_text(const skua__address *address, char ret[SKUA_HOST_BYTES]) {
    int family = address->family == 4 ? AF_INET : AF_INET6;
    bool known = address->family == 4 || address->family == 6;
    if (!known || !inet_ntop(family, address->bytes, ret, SKUA_HOST_BYTES)) {
        ret[0] = 0;
    }
    return ret;
}

bool
skua__address_parse(const char *text, skua__address *ret) {
    skua__address address = {.family = 4};
    if (!text) {
        return false;
    }
    if (inet_pton(AF_INET, text, address.bytes) != 1) {
        address.family = 6;
        if (inet_pton(AF_INET6, text, address.bytes) != 1) {
            return false;
        }
    }
    *ret = address;
    return true;
}
