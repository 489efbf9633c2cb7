// SPDX-License-Identifier: MPL-2.0
// Fleets on disk: a folder of small files in CZMQ's configuration format. A folder appears whole, by rename(), so
// that two processes that make the same one at the same time cannot clash and no half-made one is ever read.
#include "fleet_files.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua/fleet.h>

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert((int)SKUA_ROLE_ALL == (int)SKUA__ROLE_ALL &&
                   (int)SKUA_ROLE_WORK == (int)SKUA__ROLE_WORK,
               "the public roles are those of certificates");

#define FLEET_FILE "fleet.cfg" /* public: the fleet's key, and whether it is the personal one */
#define SECRET_FILE "fleet-secret.cfg" /* the fleet's secret key; never leaves the fleet's folder */
#define BEACON_FILE "beacon.cfg"       /* the key of beacons and introductions */
#define NODE_FILE "node.cfg"           /* the node's certificate */
#define CURVE_FILE "node-secret.cfg"   /* the node's CURVE secret key */

static const struct {
    const char *word;
    uint32_t role;
} role_words[] = {
    {"publish", SKUA_ROLE_PUBLISH}, {"subscribe", SKUA_ROLE_SUBSCRIBE}, {"push", SKUA_ROLE_PUSH},
    {"pull", SKUA_ROLE_PULL},       {"call", SKUA_ROLE_CALL},           {"serve", SKUA_ROLE_SERVE},
    {"submit", SKUA_ROLE_SUBMIT},   {"work", SKUA_ROLE_WORK},
};
enum { ROLE_WORDS = sizeof role_words / sizeof role_words[0] };

/* ---- Words for people ---- */

skua_status
skua_fleet_roles_parse(const char *text, uint32_t *ret_roles, skua_error *err) {
    uint32_t roles = 0;
    const char *at = text ? text : "";
    while (*at) {
        size_t length = strcspn(at, ", ");
        uint32_t role = length == 3 && memcmp(at, "all", 3) == 0 ? (uint32_t)SKUA_ROLE_ALL : 0;
        for (size_t i = 0; i < ROLE_WORDS; i++) {
            if (strlen(role_words[i].word) == length && !memcmp(role_words[i].word, at, length)) {
                role = role_words[i].role;
            }
        }
        if (!role && length) {
            return SKUA_FAIL(
                err, SKUA_E_BAD_ARGUMENT,
                "unknown role \"%.*s\"; roles are publish, subscribe, push, pull, call, "
                "serve, submit, work, all",
                (int)length, at);
        }
        roles |= role;
        at += length;
        at += strspn(at, ", ");
    }
    if (!roles) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "no role is named; roles are publish, subscribe, push, pull, call, serve, "
                         "submit, work, all");
    }
    *ret_roles = roles;
    return SKUA_OK;
}

char *
skua_fleet_roles_text(uint32_t roles, char *ret, size_t ret_size) {
    if (ret_size == 0) {
        return ret;
    }
    if (roles == SKUA_ROLE_ALL) {
        snprintf(ret, ret_size, "all");
        return ret;
    }
    size_t used = 0;
    ret[0] = 0;
    for (size_t i = 0; i < ROLE_WORDS && used < ret_size; i++) {
        if (roles & role_words[i].role) {
            int added =
                snprintf(ret + used, ret_size - used, "%s%s", used ? "," : "", role_words[i].word);
            used += added > 0 ? (size_t)added : 0;
        }
    }
    return ret;
}

skua_status
skua_fleet_span_parse(const char *text, int64_t *ret_s, skua_error *err) {
    char *end = NULL;
    errno = 0;
    long long count = text ? strtoll(text, &end, 10) : 0;
    int64_t unit_s = 0;
    if (end && end != text && errno == 0) {
        unit_s = !strcmp(end, "d")   ? 24 * 3600
                 : !strcmp(end, "h") ? 3600
                 : !strcmp(end, "m") ? 60
                 : !strcmp(end, "s") ? 1
                                     : 0;
    }
    if (!unit_s || count <= 0 || count > INT32_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "cannot understand the time \"%s\"; write it as 90d, 12h, 30m or 45s",
                         text ? text : "");
    }
    *ret_s = count * unit_s;
    return SKUA_OK;
}

/* ---- Paths ---- */

skua_status
skua_fleet_personal_dir(char *ret_dir, size_t dir_size, skua_error *err) {
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    struct passwd entry, *found = NULL;
    char text[1024];
    if (!(config && *config) && !(home && *home) &&
        getpwuid_r(getuid(), &entry, text, sizeof text, &found) == 0 && found) {
        home = found->pw_dir;
    }
    int length = -1;
    if (config && *config) {
        length = snprintf(ret_dir, dir_size, "%s/skua/personal", config);
    } else if (home && *home) {
        length = snprintf(ret_dir, dir_size, "%s/.config/skua/personal", home);
    } else {
        return SKUA_FAIL(
            err, SKUA_E_NO_FLEET,
            "cannot place the personal fleet: neither XDG_CONFIG_HOME nor HOME is set");
    }
    if (length < 0 || (size_t)length >= dir_size) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "the path of the personal fleet is too long");
    }
    return SKUA_OK;
}

static bool
path_join(char ret[SKUA_FLEET_PATH_BYTES], const char *dir, const char *file) {
    int length = snprintf(ret, SKUA_FLEET_PATH_BYTES, "%s/%s", dir, file);
    return length > 0 && length < SKUA_FLEET_PATH_BYTES;
}

/* Makes every folder above path, as `mkdir -p` does. */
static skua_status
make_parents(const char *path, skua_error *err) {
    char part[SKUA_FLEET_PATH_BYTES];
    snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1; *at; at++) {
        if (*at == '/') {
            *at = 0;
            if (mkdir(part, 0700) && errno != EEXIST) {
                return SKUA_FAIL_ERRNO(err, SKUA_E_FILE, errno, "cannot make the folder %s", part);
            }
            *at = '/';
        }
    }
    return SKUA_OK;
}

/* ---- Files ---- */

/* Writes a file that only its owner can read. */
static skua_status
write_file(const char *dir, const char *file, zconfig_t *config, skua_error *err) {
    char path[SKUA_FLEET_PATH_BYTES];
    if (!path_join(path, dir, file)) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "the path %s/%s is too long", dir, file);
    }
    char *text = zconfig_str_save(config);
    int fd = text ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    size_t size = text ? strlen(text) : 0;
    bool written = fd >= 0 && write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (text) {
        sodium_memzero(text, size);
    }
    zstr_free(&text);
    return written ? SKUA_OK : SKUA_FAIL_ERRNO(err, SKUA_E_FILE, error, "cannot write %s", path);
}

/*
 * Reads a file of the folder. zconfig tells a missing file from a malformed one by nothing, so the reading is ours.
 * SKUA_E_NOT_FOUND when there is none.
 */
static skua_status
read_file(const char *dir, const char *file, bool secret, zconfig_t **ret, skua_error *err) {
    char path[SKUA_FLEET_PATH_BYTES];
    if (!path_join(path, dir, file)) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "the path %s/%s is too long", dir, file);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return SKUA_FAIL_ERRNO(err, errno == ENOENT ? SKUA_E_NOT_FOUND : SKUA_E_FILE, errno,
                               "cannot read %s", path);
    }
    struct stat info;
    char text[SKUA__FLEET_FILE_MAX];
    ssize_t size = fstat(fd, &info) ? -1 : read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    if (size < 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_FILE, error, "cannot read %s", path);
    }
    if (secret && (info.st_mode & 077)) {
        sodium_memzero(text, (size_t)size);
        return SKUA_FAIL(err, SKUA_E_FILE, "%s can be read by others; run `chmod 600 %s`", path,
                         path);
    }
    text[size] = 0;
    zconfig_t *config = zconfig_str_load(text);
    sodium_memzero(text, (size_t)size);
    if (!config) {
        return SKUA_FAIL(err, SKUA_E_MALFORMED, "%s is not a configuration file", path);
    }
    *ret = config;
    return SKUA_OK;
}

static void
put_hex(zconfig_t *config, const char *key, const void *bytes, size_t size) {
    char text[2 * SKUA__CERTIFICATE_MAX + 1];
    sodium_bin2hex(text, sizeof text, bytes, size);
    zconfig_put(config, key, text);
    sodium_memzero(text, sizeof text);
}

/* Reads hexadecimal bytes; returns their number, 0 when they are missing, malformed or too many. */
static size_t
get_hex(zconfig_t *config, const char *key, void *ret, size_t ret_size) {
    const char *text = zconfig_get(config, key, "");
    size_t size = 0;
    const char *end = NULL;
    if (sodium_hex2bin(ret, ret_size, text, strlen(text), NULL, &size, &end) || *end) {
        return 0;
    }
    return size;
}

/* ---- Folders that appear whole ---- */

static void
remove_folder(const char *dir) {
    static const char *const files[] = {FLEET_FILE, SECRET_FILE, BEACON_FILE, NODE_FILE,
                                        CURVE_FILE};
    char path[SKUA_FLEET_PATH_BYTES];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (path_join(path, dir, files[i])) {
            unlink(path);
        }
    }
    rmdir(dir);
}

static skua_status
write_fleet_file(const char *dir, const skua__credentials *from, skua_error *err) {
    zconfig_t *config = zconfig_new("root", NULL);
    zconfig_put(config, "fleet/version", "1");
    zconfig_put(config, "fleet/personal", from->personal ? "1" : "0");
    put_hex(config, "fleet/public-key", from->fleet_public, SKUA_KEY_BYTES);
    skua_status status = write_file(dir, FLEET_FILE, config, err);
    zconfig_destroy(&config);
    return status;
}

static skua_status
write_secret_file(const char *dir, const skua__credentials *from, skua_error *err) {
    zconfig_t *config = zconfig_new("root", NULL);
    put_hex(config, "fleet/secret-key", from->fleet_secret, SKUA__FLEET_SECRET_BYTES);
    skua_status status = write_file(dir, SECRET_FILE, config, err);
    zconfig_destroy(&config);
    return status;
}

static skua_status
write_node_files(const char *dir, const skua__credentials *from, skua_error *err) {
    uint8_t bytes[SKUA__CERTIFICATE_MAX];
    size_t size = skua__certificate_encode(&from->certificate, bytes, sizeof bytes);
    char number[16];
    snprintf(number, sizeof number, "%u", from->beacon_keys[0].id);

    zconfig_t *node = zconfig_new("root", NULL);
    zconfig_put(node, "node/name", from->certificate.name); /* for people; the certificate counts */
    put_hex(node, "node/certificate", bytes, size);
    zconfig_t *curve = zconfig_new("root", NULL);
    put_hex(curve, "node/secret-key", from->curve.secret, SKUA_KEY_BYTES);
    zconfig_t *beacon = zconfig_new("root", NULL);
    zconfig_put(beacon, "beacon/id", number);
    put_hex(beacon, "beacon/key", from->beacon_keys[0].bytes, SKUA__BEACON_KEY_BYTES);

    skua_status status = write_file(dir, NODE_FILE, node, err);
    status = status ? status : write_file(dir, CURVE_FILE, curve, err);
    status = status ? status : write_file(dir, BEACON_FILE, beacon, err);
    zconfig_destroy(&node);
    zconfig_destroy(&curve);
    zconfig_destroy(&beacon);
    return status;
}

/*
 * Makes dir with the files of a fleet, or, for a node's certificate, of a node. It is written beside its place and
 * renamed into it: SKUA_E_EXISTS when something is there already.
 */
static skua_status
make_folder(const char *dir, const skua__credentials *from, bool node, skua_error *err) {
    skua_status status = make_parents(dir, err);
    if (status) {
        return status;
    }
    char draft[SKUA_FLEET_PATH_BYTES];
    int length = snprintf(draft, sizeof draft, "%s.XXXXXX", dir);
    if (length < 0 || length >= (int)sizeof draft) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "the path %s is too long", dir);
    }
    if (!mkdtemp(draft)) { /* which makes it 0700 */
        return SKUA_FAIL_ERRNO(err, SKUA_E_FILE, errno, "cannot make the folder %s", draft);
    }
    status = write_fleet_file(draft, from, err);
    if (!status) {
        status = node ? write_node_files(draft, from, err) : write_secret_file(draft, from, err);
    }
    if (!status && rename(draft, dir)) {
        bool exists = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
        status = exists ? SKUA_FAIL(err, SKUA_E_EXISTS,
                                    "%s is there already, and not empty; choose another name, or "
                                    "remove it first",
                                    dir)
                        : SKUA_FAIL_ERRNO(err, SKUA_E_FILE, errno, "cannot make %s", dir);
    }
    if (status) {
        remove_folder(draft);
    }
    return status;
}

static skua_status
sodium_ready(skua_error *err) {
    return sodium_init() < 0 ? SKUA_FAIL(err, SKUA_E_SYSTEM, "libsodium cannot be initialised")
                             : SKUA_OK;
}

static skua_status
make_fleet(const char *dir, bool personal, skua_error *err) {
    skua_status status = sodium_ready(err);
    if (status) {
        return status;
    }
    skua__credentials made = {.personal = personal, .can_issue = true};
    skua__fleet_keys_make(made.fleet_public, made.fleet_secret);
    status = make_folder(dir, &made, false, err);
    skua__credentials_wipe(&made);
    return status;
}

skua_status
skua_fleet_init(const char *dir, skua_error *err) {
    if (!dir || !*dir) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "dir is missing: name the fleet's new folder");
    }
    return make_fleet(dir, false, err);
}

/* ---- Reading ---- */

static skua_status
read_fleet_file(const char *dir, skua__credentials *ret, skua_error *err) {
    zconfig_t *config = NULL;
    skua_status status = read_file(dir, FLEET_FILE, false, &config, err);
    if (status == SKUA_E_NOT_FOUND) {
        return SKUA_FAIL(err, SKUA_E_NO_FLEET,
                         "there is no fleet in %s; make one with `skua fleet init %s`", dir, dir);
    }
    if (status) {
        return status;
    }
    ret->personal = strcmp(zconfig_get(config, "fleet/personal", "0"), "1") == 0;
    bool good =
        strcmp(zconfig_get(config, "fleet/version", ""), "1") == 0 &&
        get_hex(config, "fleet/public-key", ret->fleet_public, SKUA_KEY_BYTES) == SKUA_KEY_BYTES;
    zconfig_destroy(&config);
    return good ? SKUA_OK
                : SKUA_FAIL(err, SKUA_E_MALFORMED, "%s/%s is damaged or of a newer skua", dir,
                            FLEET_FILE);
}

static skua_status
read_secret_file(const char *dir, skua__credentials *ret, skua_error *err) {
    zconfig_t *config = NULL;
    skua_status status = read_file(dir, SECRET_FILE, true, &config, err);
    if (status) {
        return status == SKUA_E_NOT_FOUND ? SKUA_OK : status;
    }
    uint8_t public[SKUA_KEY_BYTES];
    bool good = get_hex(config, "fleet/secret-key", ret->fleet_secret, SKUA__FLEET_SECRET_BYTES) ==
                    SKUA__FLEET_SECRET_BYTES &&
                crypto_sign_ed25519_sk_to_pk(public, ret->fleet_secret) == 0 &&
                memcmp(public, ret->fleet_public, sizeof public) == 0;
    zconfig_destroy(&config);
    if (!good) {
        return SKUA_FAIL(err, SKUA_E_MALFORMED, "%s/%s does not hold the fleet's secret key", dir,
                         SECRET_FILE);
    }
    ret->can_issue = true;
    skua__beacon_key_derive(ret->fleet_secret, 1, &ret->beacon_keys[0]);
    ret->beacon_key_count = 1;
    return SKUA_OK;
}

static skua_status
read_beacon_file(const char *dir, skua__credentials *ret, skua_error *err) {
    zconfig_t *config = NULL;
    skua_status status = read_file(dir, BEACON_FILE, true, &config, err);
    if (status) {
        return status;
    }
    skua__beacon_key *key = &ret->beacon_keys[0];
    key->id = (uint32_t)strtoul(zconfig_get(config, "beacon/id", "0"), NULL, 10);
    bool good = key->id &&
                get_hex(config, "beacon/key", key->bytes, sizeof key->bytes) == sizeof key->bytes;
    zconfig_destroy(&config);
    ret->beacon_key_count = 1;
    return good ? SKUA_OK : SKUA_FAIL(err, SKUA_E_MALFORMED, "%s/%s is damaged", dir, BEACON_FILE);
}

static skua_status
read_node_files(const char *dir, skua__credentials *ret, skua_error *err) {
    zconfig_t *config = NULL;
    skua_status status = read_file(dir, NODE_FILE, false, &config, err);
    if (status) {
        return status == SKUA_E_NOT_FOUND ? SKUA_OK : status;
    }
    uint8_t bytes[SKUA__CERTIFICATE_MAX];
    size_t size = get_hex(config, "node/certificate", bytes, sizeof bytes);
    zconfig_destroy(&config);
    if (skua__certificate_decode(bytes, size, &ret->certificate) != SKUA__CERTIFICATE_OK) {
        return SKUA_FAIL(err, SKUA_E_BAD_CERTIFICATE, "%s/%s holds no certificate", dir, NODE_FILE);
    }
    status = read_file(dir, CURVE_FILE, true, &config, err);
    if (status) {
        return status;
    }
    size = get_hex(config, "node/secret-key", ret->curve.secret, SKUA_KEY_BYTES);
    zconfig_destroy(&config);
    crypto_scalarmult_base(ret->curve.public, ret->curve.secret);
    if (size != SKUA_KEY_BYTES ||
        memcmp(ret->curve.public, ret->certificate.curve_key, SKUA_KEY_BYTES) != 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_CERTIFICATE,
                         "%s/%s is not the key of the certificate in %s", dir, CURVE_FILE,
                         NODE_FILE);
    }
    ret->has_certificate = true;
    return read_beacon_file(dir, ret, err);
}

static skua_status
check_certificate(const char *dir, const skua__credentials *read, skua_error *err) {
    skua__certificate_result result =
        skua__certificate_verify(&read->certificate, read->fleet_public, skua__clock_wall_s());
    if (result == SKUA__CERTIFICATE_OK) {
        return SKUA_OK;
    }
    return SKUA_FAIL(
        err, skua__certificate_result_status(result),
        "the certificate of \"%s\" in %s is %s; issue a new one with `skua fleet issue "
        "%s`",
        read->certificate.name, dir, skua__certificate_result_text(result), read->certificate.name);
}

/* Reads the folder as it is; whether the certificate is still good is not asked. */
static skua_status
read_folder(const char *dir, skua__credentials *ret, skua_error *err) {
    *ret = (skua__credentials){.personal = false};
    skua_status status = sodium_ready(err);
    status = status ? status : read_fleet_file(dir, ret, err);
    status = status ? status : read_secret_file(dir, ret, err);
    status = status ? status : read_node_files(dir, ret, err);
    if (!status && !ret->can_issue && !ret->has_certificate) {
        status = SKUA_FAIL(err, SKUA_E_NO_FLEET,
                           "%s holds neither a certificate nor the key to issue one", dir);
    }
    return status;
}

skua_status
skua__credentials_read(const char *dir, bool make, skua__credentials *ret, skua_error *err) {
    char personal[SKUA_FLEET_PATH_BYTES];
    skua__credentials read;
    skua_status status = SKUA_OK;
    if (!dir) {
        status = skua_fleet_personal_dir(personal, sizeof personal, err);
        dir = personal;
    }
    if (!status) {
        status = read_folder(dir, &read, err);
    }
    if (status == SKUA_E_NO_FLEET && dir == personal && make) {
        status = make_fleet(dir, true, err);
        /* Another process may have been first: then theirs is the one. */
        if (!status || status == SKUA_E_EXISTS) {
            status = read_folder(dir, &read, err);
        }
    }
    if (!status && read.has_certificate) {
        status = check_certificate(dir, &read, err);
    }
    if (!status) {
        *ret = read;
    }
    sodium_memzero(&read, sizeof read);
    return status;
}

void
skua__credentials_wipe(skua__credentials *credentials) {
    sodium_memzero(credentials, sizeof *credentials);
}

/* ---- Issuing ---- */

static skua_status
issue(skua__credentials *credentials, const char *name, uint32_t roles, int64_t expires_s,
      skua_error *err) {
    if (!skua__name_valid(name)) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME,
                         "the name \"%.80s\" is not allowed; names are 1 to 63 of a-z, 0-9, '.', "
                         "'_' and '-', and begin with a letter or digit",
                         name ? name : "");
    }
    int64_t now_s = skua__clock_wall_s();
    crypto_box_keypair(credentials->curve.public, credentials->curve.secret);
    skua__certificate *certificate = &credentials->certificate;
    *certificate = (skua__certificate){.roles = roles};
    memcpy(certificate->curve_key, credentials->curve.public, SKUA_KEY_BYTES);
    snprintf(certificate->name, sizeof certificate->name, "%s", name);
    randombytes_buf(&certificate->serial, sizeof certificate->serial);
    certificate->serial >>= 1; /* it fits a signed number wherever people store it */
    certificate->expires_s = now_s + expires_s;
    /* One that has expired must still have been valid once, or its format is broken. */
    certificate->issued_s = expires_s > 0 ? now_s : certificate->expires_s - 1;
    if (!skua__certificate_sign(certificate, credentials->fleet_secret)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "no certificate can expire at that time");
    }
    credentials->has_certificate = true;
    return SKUA_OK;
}

skua_status
skua__credentials_self_issue(skua__credentials *credentials, const char *name, skua_error *err) {
    return issue(credentials, name, SKUA__ROLE_ALL, SKUA__SELF_ISSUED_S, err);
}

skua_status
skua_fleet_issue(const char *dir, const skua_fleet_issue_options *given, char *ret_out,
                 size_t out_size, skua_error *err) {
    skua_fleet_issue_options options;
    if (!dir || !SKUA_READ_OPTIONS(&options, given) || (options.roles & ~(uint32_t)SKUA_ROLE_ALL)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "dir is missing, or the options are of a newer skua");
    }
    skua__credentials fleet;
    skua_status status = skua__credentials_read(dir, false, &fleet, err);
    if (status) {
        return status;
    }
    char out[SKUA_FLEET_PATH_BYTES];
    int length = options.out ? snprintf(out, sizeof out, "%s", options.out)
                             : snprintf(out, sizeof out, "%s/nodes/%s", dir,
                                        options.name ? options.name : "");
    if (fleet.personal) {
        status = SKUA_FAIL(err, SKUA_E_LOOPBACK_ONLY,
                           "%s is the personal fleet, which stays on this machine; make a fleet "
                           "with `skua fleet init DIR`",
                           dir);
    } else if (!fleet.can_issue) {
        status = SKUA_FAIL(err, SKUA_E_NO_FLEET, "the fleet's secret key is not in %s", dir);
    } else if (length < 0 || length >= (int)sizeof out || (ret_out && (size_t)length >= out_size)) {
        status = SKUA_FAIL(err, SKUA_E_TOO_BIG, "the path of the new folder is too long");
    } else {
        int64_t expires_s = options.expires_s ? options.expires_s : SKUA_FLEET_DEFAULT_EXPIRES_S;
        status = issue(&fleet, options.name, options.roles ? options.roles : SKUA_ROLE_ALL,
                       expires_s, err);
    }
    if (!status) {
        status = make_folder(out, &fleet, true, err);
    }
    if (!status && ret_out) {
        memcpy(ret_out, out, (size_t)length + 1);
    }
    skua__credentials_wipe(&fleet);
    return status;
}

skua_status
skua_fleet_show(const char *dir, skua_fleet_info *ret_info, skua_error *err) {
    if (!ret_info || ret_info->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_info is missing, or its size is not set");
    }
    skua_fleet_info info = {.size = ret_info->size};
    skua_status status = SKUA_OK;
    if (dir) {
        snprintf(info.dir, sizeof info.dir, "%s", dir);
    } else {
        status = skua_fleet_personal_dir(info.dir, sizeof info.dir, err);
    }
    skua__credentials read;
    status = status ? status : read_folder(info.dir, &read, err);
    if (status) {
        return status;
    }
    sodium_bin2hex(info.fleet_key, sizeof info.fleet_key, read.fleet_public, SKUA_KEY_BYTES);
    info.personal = read.personal;
    info.can_issue = read.can_issue;
    info.has_certificate = read.has_certificate;
    if (read.has_certificate) {
        const skua__certificate *certificate = &read.certificate;
        skua__certificate_result result =
            skua__certificate_verify(certificate, read.fleet_public, skua__clock_wall_s());
        info.expired = result == SKUA__CERTIFICATE_EXPIRED;
        if (result != SKUA__CERTIFICATE_OK && !info.expired) {
            status = SKUA_FAIL(err, skua__certificate_result_status(result),
                               "the certificate in %s is %s", info.dir,
                               skua__certificate_result_text(result));
        }
        memcpy(info.name, certificate->name, sizeof info.name);
        sodium_bin2hex(info.curve_key, sizeof info.curve_key, certificate->curve_key,
                       SKUA_KEY_BYTES);
        info.roles = certificate->roles;
        info.serial = certificate->serial;
        info.expires_s = certificate->expires_s;
    }
    if (!status) {
        memcpy(ret_info, &info, info.size < sizeof info ? info.size : sizeof info);
    }
    skua__credentials_wipe(&read);
    return status;
}
