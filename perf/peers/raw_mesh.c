// SPDX-License-Identifier: MPL-2.0
// A full mesh of raw libzmq: each process binds a ROUTER at an address that everyone was told, dials those above it,
// and exchanges one message each way on every link.
#include "../mesh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Answers every hello that comes to our ROUTER. Returns how many there were, or -1. */
static int
answer_hellos(void *router) {
    int answered = 0;
    char from[256], hello[16];
    int size;
    while ((size = zmq_recv(router, from, sizeof from, ZMQ_DONTWAIT)) > 0) {
        if (zmq_recv(router, hello, sizeof hello, 0) < 0 ||
            zmq_send(router, from, (size_t)size, ZMQ_SNDMORE) < 0 ||
            zmq_send(router, "w", 1, 0) < 0) {
            return -1;
        }
        answered++;
    }
    return answered;
}

int
raw_mesh_member(perf_mesh *mesh, uint32_t index) {
    const perf_case *what = mesh->what;
    uint32_t dialled = what->nodes - 1 - index;
    zmq_pollitem_t items[PERF_MESH_NODES_MAX];
    perf_mesh_wait(mesh->go_fd);
    void *context = zmq_ctx_new();
    items[0] = (zmq_pollitem_t){.socket = zmq_socket(context, ZMQ_ROUTER), .events = ZMQ_POLLIN};
    raw_set(items[0].socket, ZMQ_LINGER, 0);
    if (what->security && strcmp(what->security, "curve") == 0) {
        raw_set(items[0].socket, ZMQ_CURVE_SERVER, 1);
        /* One secret for all servers: it is told like the addresses, and costs the handshake nothing. */
        zmq_setsockopt(items[0].socket, ZMQ_CURVE_SECRETKEY, mesh->secret, sizeof mesh->secret);
    }
    if (zmq_bind(items[0].socket, mesh->addresses[index].endpoint) != 0) {
        fprintf(stderr, "raw: bind %s: %s\n", mesh->addresses[index].endpoint,
                zmq_strerror(zmq_errno()));
        return 1;
    }
    for (uint32_t i = 1; i <= dialled; i++) {
        void *dealer = raw_connect(context, ZMQ_DEALER, what, &mesh->addresses[index + i]);
        if (!dealer || zmq_send(dealer, "h", 1, 0) < 0) {
            return 1;
        }
        items[i] = (zmq_pollitem_t){.socket = dealer, .events = ZMQ_POLLIN};
    }
    uint32_t known = 0;
    bool told = false;
    for (;;) {
        if (zmq_poll(items, (int)(dialled + 1), -1) < 0) {
            return 1;
        }
        int hellos = items[0].revents ? answer_hellos(items[0].socket) : 0;
        if (hellos < 0) {
            return 1;
        }
        known += (uint32_t)hellos;
        for (uint32_t i = 1; i <= dialled; i++) {
            char byte;
            if (items[i].revents && zmq_recv(items[i].socket, &byte, 1, 0) >= 0) {
                known++;
            }
        }
        if (known == what->nodes - 1 && !told) {
            told = true;
            perf_mesh_done(mesh); /* libzmq's own thread goes on with what others wait for */
            return 0;
        }
    }
}

void
raw_make_mesh_key(perf_mesh *mesh) {
    char key[RAW_KEY_TEXT];
    zmq_curve_keypair(key, mesh->secret);
    for (uint32_t i = 0; i < mesh->what->nodes; i++) {
        memcpy(mesh->addresses[i].key, key, sizeof key);
    }
}
