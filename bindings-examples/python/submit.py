# SPDX-License-Identifier: MPL-2.0
"""Runs a Python function as a task on another node, through nothing but ctypes: submit.py [LIBSKUA.SO]"""
import ctypes
import sys
from ctypes import byref, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p, sizeof

skua = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libskua.so.0")
skua.skua_task_input.restype = c_void_p


def struct(*fields):
    return type("Struct", (ctypes.Structure,), {"_fields_": fields})


Error = struct(("numbers", c_int32 * 2), ("code", c_char * 16), ("where", c_char * 64), ("message", c_char * 424))
# Options, tasks and results begin with their size, so only the fields that are used stand here.
NodeOptions = struct(("size", c_size_t), ("name", c_char_p))
PoolOptions = struct(("size", c_size_t), ("node", c_void_p), ("exec", c_void_p))
Task = struct(("size", c_size_t), ("name", c_char_p), ("version", c_uint32), ("priority", c_int32),
              ("input", c_char_p), ("input_bytes", c_size_t))
Result = struct(("size", c_size_t), ("outcome", c_int32), ("code", c_int32), ("attempts", c_uint32),
                ("reserved", c_uint32), ("output", c_void_p), ("output_bytes", c_size_t))
err = Error()


def call(function, *words):
    if function(*words, byref(err)):  # its last argument is the error
        raise RuntimeError(f"{err.code.decode()} {err.message.decode()}")


def made(function, *words):
    handle = c_void_p()  # which the first argument of the function receives
    call(function, byref(handle), *words)
    return handle


@ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
def upper(task_call, _):
    size = c_size_t()
    text = ctypes.string_at(skua.skua_task_input(c_void_p(task_call), byref(size)), size.value)
    return skua.skua_task_reply(c_void_p(task_call), text.upper(), size)


worker, asker = (made(skua.skua_node_open, byref(NodeOptions(sizeof(NodeOptions), name)))
                 for name in (b"worker", b"asker"))
executor = made(skua.skua_exec_open, None)
there, here = (made(skua.skua_pool_open, byref(PoolOptions(sizeof(PoolOptions), node, runs)))
               for node, runs in ((worker, executor), (asker, None)))
call(skua.skua_pool_register, there, b"upper", 1, upper, None)
call(skua.skua_pool_await_nodes, here, b"upper", c_size_t(1), c_int64(10000))
future = c_void_p()
call(skua.skua_pool_submit, here, byref(Task(sizeof(Task), b"upper", 0, 0, b"hello", 5)), byref(future))
call(skua.skua_pool_wait, future, c_int64(10000))
call(skua.skua_pool_result, future, byref(result := Result(sizeof(Result))))
print(ctypes.string_at(result.output, result.output_bytes).decode())
skua.skua_pool_future_free(future)
for end, handle in ((skua.skua_pool_close, here), (skua.skua_pool_close, there), (skua.skua_exec_close, executor),
                    (skua.skua_node_close, asker), (skua.skua_node_close, worker)):
    end(handle)
