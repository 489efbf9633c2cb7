# SPDX-License-Identifier: MPL-2.0
"""What the command shows of OpenCL devices, and what the demo does with one. cl_under runs it, so there is a device that works."""
import sys
import tempfile

from skua_cli import OK, Skua, main


def device_of(skua):
    code, objects = skua.json("topo")
    assert code == OK and objects[0]["devices"], objects
    return objects[0]["devices"][0]


def test_cli_topo_shows_devices():
    with Skua() as skua:
        device = device_of(skua)
        assert device["name"] and device["units"] > 0 and device["memory_bytes"] > 0, device
        out = skua.run("topo")[1]
        assert f"device 0: {device['kind']} {device['name']}" in out, out
        assert device["usable"] or "off unless asked for" in out, out


def test_cli_nodes_show_the_devices_of_peers():
    with Skua() as skua:
        device = device_of(skua)
        skua.start_node("--serve", "--name", "with", "--cpu-devices")
        skua.start_node("--serve", "--name", "without")
        code, objects = skua.json("nodes", "--count", "2")
        assert code == OK, objects
        rows = {row["name"]: row for row in objects[-1]["nodes"]}
        assert rows["with"]["devices"] >= 1 and device["name"] in rows["with"]["device_names"], rows
        assert rows["without"]["devices"] == (1 if device["usable"] else 0), rows


def test_cli_doctor_explains_devices():
    with Skua() as skua, tempfile.TemporaryDirectory() as empty:
        def found(**env):
            out = skua.run("doctor", env=dict(env, XDG_CACHE_HOME=empty))[1]
            return out[out.index(" devices "):].splitlines()
        name = device_of(skua)["name"]
        assert name in found()[0], found()
        lines = found(OCL_ICD_VENDORS="/nonexistent")
        assert "shows no device" in lines[0] and "/etc/OpenCL/vendors" in lines[1], lines
        # PoCL alone minds where it may write.
        if "pocl" in name or name.startswith(("pthread", "basic", "cpu")):
            lines = found(POCL_CACHE_DIR="/dev/null/cache")
            assert "cannot be written" in lines[0] and "POCL_CACHE_DIR" in lines[1], lines
            assert name in found()[0], "what a bad folder did is not kept"


def test_cli_demo_counts_the_same_on_a_device():
    with Skua() as skua:
        code, objects = skua.json("demo", "/usr/share/common-licenses", "--megabytes", "8")
        assert code == OK, objects
        answer = objects[-1]
        assert answer["device"]["name"] and not answer["device"]["skipped"], answer["device"]
        lengths = answer["device"]["words_by_length"]
        assert len(lengths) == 32 and lengths[0] == 0 and sum(lengths) == answer["words"], lengths


if __name__ == "__main__":
    main(sys.modules[__name__])
