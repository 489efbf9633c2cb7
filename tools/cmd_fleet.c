// SPDX-License-Identifier: MPL-2.0
// `skua fleet init|issue|show`: makes fleets and certificates.
#include "cli.h"

#include <skua/fleet.h>
#include <string.h>
#include <time.h>

static skua_status
run_init(cli *self) {
    const char *dir = self->arg_count > 1 ? self->args[1] : self->fleet;
    if (!dir) {
        return cli_usage(self, "which folder? skua fleet init DIR");
    }
    skua_status status = skua_fleet_init(dir, &self->err);
    if (status) {
        return status;
    }
    if (self->json) {
        skua__json *json = cli_answer(self);
        skua__json_put_text(json, "dir", dir);
        return cli_answer_end(self);
    }
    cli_say(self,
            "made the fleet in %s; its secret key stays there\n"
            "next: skua fleet issue NAME --fleet %s, and copy the folder that it makes to that "
            "machine\n",
            dir, dir);
    return SKUA_OK;
}

/* An ISO 8601 moment; ret has 32 bytes. */
static const char *
utc_text(int64_t at_s, char *ret) {
    struct tm utc;
    time_t at = (time_t)at_s;
    ret[0] = 0;
    if (gmtime_r(&at, &utc)) {
        strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    return ret;
}

static skua_status
run_issue(cli *self) {
    if (self->arg_count < 2) {
        return cli_usage(self, "for which node? skua fleet issue NAME --fleet DIR");
    }
    uint32_t roles = SKUA_ROLE_ALL;
    int64_t expires_s = SKUA_FLEET_DEFAULT_EXPIRES_S;
    const char *roles_text = cli_flag_value(self, "--roles");
    const char *expires = cli_flag_value(self, "--expires");
    skua_status status = SKUA_OK;
    if (roles_text && skua_fleet_roles_parse(roles_text, &roles, &self->err)) {
        return cli_usage(self, "--roles: %s", self->err.message);
    }
    if (expires && skua_fleet_span_parse(expires, &expires_s, &self->err)) {
        return cli_usage(self, "--expires: %s", self->err.message);
    }
    char personal[SKUA_FLEET_PATH_BYTES], out[SKUA_FLEET_PATH_BYTES];
    const char *dir = self->fleet;
    if (!dir) {
        status = skua_fleet_personal_dir(personal, sizeof personal, &self->err);
        dir = personal;
    }
    if (!status) {
        status = skua_fleet_issue(dir,
                                  SKUA_FLEET_ISSUE_OPTIONS(.name = self->args[1], .roles = roles,
                                                           .expires_s = expires_s,
                                                           .out = cli_flag_value(self, "--out")),
                                  out, sizeof out, &self->err);
    }
    if (status) {
        return status;
    }
    char words[SKUA_FLEET_ROLES_BYTES];
    skua_fleet_roles_text(roles, words, sizeof words);
    if (self->json) {
        skua__json *json = cli_answer(self);
        skua__json_put_text(json, "name", self->args[1]);
        skua__json_put_text(json, "dir", out);
        skua__json_put_text(json, "roles", words);
        skua__json_put_i64(json, "expires_s", expires_s);
        return cli_answer_end(self);
    }
    skua_fleet_info info = {.size = sizeof info};
    status = skua_fleet_show(out, &info, &self->err);
    char until[32];
    cli_say(self,
            "issued %s (roles: %s; until %s) in %s\n"
            "next: copy that folder to the machine, then: skua node --fleet %s\n",
            self->args[1], words, utc_text(info.expires_s, until), out, out);
    return status;
}

static void
print_info(cli *self, const skua_fleet_info *info, const char *roles, const char *expires) {
    cli_say(self, "folder       %s\nfleet key    %s\n", info->dir, info->fleet_key);
    cli_say(self, "kind         %s\n", info->personal ? "personal: this machine only" : "fleet");
    cli_say(self, "can issue    %s\n",
            info->can_issue ? "yes: the fleet's secret key is here" : "no");
    if (info->has_certificate) {
        cli_say(self, "name         %s\nroles        %s\n", info->name, roles);
        cli_say(self, "serial       %llu\nexpires      %s%s\n", (unsigned long long)info->serial,
                expires, info->expired ? " (it has)" : "");
        cli_say(self, "public key   %s\n", info->curve_key);
    }
}

static skua_status
run_show(cli *self) {
    skua_fleet_info info = {.size = sizeof info};
    const char *dir = self->arg_count > 1 ? self->args[1] : self->fleet;
    skua_status status = skua_fleet_show(dir, &info, &self->err);
    if (status) {
        return status;
    }
    char roles[SKUA_FLEET_ROLES_BYTES], expires[32];
    skua_fleet_roles_text(info.roles, roles, sizeof roles);
    utc_text(info.expires_s, expires);
    if (!self->json) {
        print_info(self, &info, roles, expires);
        return SKUA_OK;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "dir", info.dir);
    skua__json_put_text(json, "fleet_key", info.fleet_key);
    skua__json_put_bool(json, "personal", info.personal);
    skua__json_put_bool(json, "can_issue", info.can_issue);
    skua__json_key(json, "certificate");
    if (info.has_certificate) {
        skua__json_object(json);
        skua__json_put_text(json, "name", info.name);
        skua__json_put_text(json, "roles", roles);
        skua__json_put_u64(json, "serial", info.serial);
        skua__json_put_text(json, "expires", expires);
        skua__json_put_bool(json, "expired", info.expired);
        skua__json_put_text(json, "curve_key", info.curve_key);
        skua__json_object_end(json);
    } else {
        skua__json_null(json);
    }
    return cli_answer_end(self);
}

static skua_status
run_fleet(cli *self) {
    static const char *const verbs[] = {"init", "issue", "show", NULL};
    static skua_status (*const runs[])(cli *) = {run_init, run_issue, run_show};
    for (size_t i = 0; verbs[i]; i++) {
        if (strcmp(self->args[0], verbs[i]) == 0) {
            return runs[i](self);
        }
    }
    const char *nearest = cli_nearest(self->args[0], verbs);
    return cli_usage(self, "skua fleet takes init, issue or show, not \"%s\"%s%s%s", self->args[0],
                     nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static const cli_flag fleet_flags[] = {
    {"--roles", "LIST", "issue: publish,subscribe,push,pull,call,serve,submit,work or all (all)"},
    {"--expires", "SPAN", "issue: 90d, 12h, 30m (90d)"},
    {"--out", "DIR", "issue: the new folder (FLEET/nodes/NAME)"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_fleet = {
    .name = "fleet",
    .form = "init DIR | issue NAME | show [DIR]",
    .summary = "Make a fleet, issue certificates, show what a folder holds",
    .details = "A fleet is the machines that trust each other: one key signs their certificates. "
               "Make it once, keep its\n"
               "folder off the machines that run nodes, and copy to each the folder that issue "
               "makes for it. With no\n"
               "fleet at all, skua makes a personal one, which stays on this machine.",
    .examples = "skua fleet init ./fleet\nskua fleet issue worker-1 --fleet ./fleet --roles "
                "work,submit --expires 90d\n"
                "skua fleet show ./fleet/nodes/worker-1 --json",
    .flags = fleet_flags,
    .args_min = 1,
    .args_max = 2,
    .run = run_fleet,
};
