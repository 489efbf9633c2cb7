# SPDX-License-Identifier: MPL-2.0
"""Publishes and subscribes from Python, through nothing but ctypes: pubsub.py [LIBSKUA.SO]"""
import ctypes
import sys
from ctypes import byref, c_char, c_char_p, c_int32, c_int64, c_size_t, c_void_p, sizeof

skua = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libskua.so.0")
skua.skua_msg_data.restype, skua.skua_msg_size.restype = c_void_p, c_size_t
skua.skua_msg_topic.restype = skua.skua_msg_sender_name.restype = c_char_p


def struct(*fields):
    return type("Struct", (ctypes.Structure,), {"_fields_": fields})


Error = struct(("status", c_int32), ("os_errno", c_int32), ("code", c_char * 16),
               ("where", c_char * 64), ("message", c_char * 384), ("reserved", c_char * 40))
# Options begin with their size, so only the fields that are used need to be declared.
NodeOptions = struct(("size", c_size_t), ("name", c_char_p))
SubOptions = struct(("size", c_size_t), ("allocator", c_void_p), ("topic", c_char_p))
err = Error()


def call(function, *words):
    """Calls a function whose last argument is the error."""
    if function(*words, byref(err)):
        raise RuntimeError(f"{err.code.decode()} {err.message.decode()}")


def made(function, *words):
    """Calls a function whose first argument receives a handle."""
    handle = c_void_p()
    call(function, byref(handle), *words)
    return handle


speaker, listener = (made(skua.skua_node_open, byref(NodeOptions(sizeof(NodeOptions), name)))
                     for name in (b"speaker", b"listener"))
pub = made(skua.skua_pub_open, speaker, b"weather", None)
sub = made(skua.skua_sub_open, listener, b"weather", byref(SubOptions(sizeof(SubOptions), None, b"oslo")))
call(skua.skua_pub_await_subs, pub, b"oslo", c_size_t(1), c_int64(10000))
for topic, text in ((b"rome", b"sun"), (b"oslo", b"rain"), (b"oslo", b"snow")):
    call(skua.skua_pub_send_bytes, pub, topic, text, c_size_t(len(text)), c_int64(0))
heard = []
for _ in range(2):
    msg = c_void_p()
    call(skua.skua_sub_recv, sub, byref(msg), c_int64(10000))
    heard.append(ctypes.string_at(skua.skua_msg_data(msg, c_size_t(0)), skua.skua_msg_size(msg, c_size_t(0))))
    print(skua.skua_msg_sender_name(msg).decode(), skua.skua_msg_topic(msg).decode(), heard[-1].decode())
    skua.skua_msg_free(msg)
for end, handle in ((skua.skua_sub_close, sub), (skua.skua_pub_close, pub),
                    (skua.skua_node_close, listener), (skua.skua_node_close, speaker)):
    end(handle)
sys.exit(heard != [b"rain", b"snow"])
