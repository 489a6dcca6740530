"""Device profiles from the figures of drivers: what wgpu 30 would report of each, by its own arithmetic.

    python3 scripts/profiles.py            writes profiles/*.json for the devices below
    python3 scripts/profiles.py --check    fails if one of them is not what the figures give

`raw` has what a driver tells, with the file of its source that says so. The rest follows wgpu-hal 30.0.1,
src/vulkan/adapter.rs (`to_wgpu_limits`) and src/auxil/mod.rs (`adjust_raw_limits`). Devices that were asked
themselves, by `plimsoll adapters --json`, are not made here.
"""

import argparse
import json
import pathlib
import sys

PROFILES = pathlib.Path(__file__).resolve().parent.parent / "profiles"
I32, U32 = 2**31 - 1, 2**32 - 1
WGPU = "wgpu-hal 30.0.1"
MESA = "Mesa 25.0.7"
MIB, GIB = 2**20, 2**30


def capped(limits, keys, total):
    """`cap_limits_to_be_under_the_sum_limit`: as evenly as can be, the smallest first."""
    left = total
    order = sorted(keys, key=lambda key: limits[key])
    for done, key in enumerate(order):
        limits[key] = min(limits[key], left // (len(order) - done))
        left -= limits[key]


def vulkan(raw):
    """What wgpu makes of a Vulkan driver's figures on Linux."""
    per_stage, in_set = raw["per_stage"], raw["in_set"]
    limits = {key: min(per_stage[key], in_set[key] // 2) for key in per_stage}
    limits["colour"] = raw["colour"]
    if "combined_outputs" in raw:
        capped(limits, ["images", "buffers", "colour"], raw["combined_outputs"])
    capped(limits, ["textures", "uniforms", "images", "buffers", "colour"], raw["per_stage_resources"])
    limits["accelerations"] = raw.get("accelerations", 0)
    all_kinds = ["textures", "uniforms", "images", "buffers", "samplers", "accelerations"]
    capped(limits, all_kinds, raw["per_set"] // 2)
    capped(limits, all_kinds, max(1000, raw["per_set"]) // 2)
    most = 2**52 if raw.get("nvidia") else I32
    buffer = min(raw["buffer"], raw["allocation"], most)
    binding = min(raw["range"], I32, buffer) & ~3
    threads, [x, y] = raw["threads"], raw["size"]
    return {
        "max_buffer_size": buffer,
        "max_storage_buffer_binding_size": binding,
        "min_storage_buffer_offset_alignment": max(32, raw["align"]),
        "max_storage_buffers_per_shader_stage": limits["buffers"],
        "max_compute_workgroups_per_dimension": min(raw["groups"]),
        "max_compute_invocations_per_workgroup": threads,
        "max_compute_workgroup_size_x": min(x, threads),
        "max_compute_workgroup_size_y": min(y, threads),
        "max_compute_workgroup_storage_size": raw["shared"],
        "max_immediate_size": min(256, raw["push"]),
    }


def all_kinds(number, samplers=None):
    return {"textures": number, "uniforms": number, "images": number, "buffers": number,
            "samplers": number if samplers is None else samplers}


def radv(shared=65536):
    # radv_max_descriptor_set_size()
    number = (2**31 - 16 * 24 - 4 * MIB * 64) // (32 + 32 + 32 + 64 + 64)
    each = all_kinds(number)
    return {
        "per_stage": each, "in_set": each, "colour": 8, "per_stage_resources": number, "per_set": 2**31 // 96,
        "accelerations": number // 2, "buffer": 0xFFFFFFFC, "allocation": 0xFFFFFFFC, "range": U32, "align": 4,
        "groups": [U32, 65535, 65535], "threads": 1024, "size": [1024, 1024], "shared": shared, "push": 256,
    }


def anv(buffers, samplers, accelerations):
    each = all_kinds(buffers, samplers)
    return {
        "per_stage": each, "in_set": each, "colour": 8, "per_stage_resources": min(buffers, samplers), "per_set": 1024,
        "accelerations": accelerations, "buffer": 2**32, "allocation": 4 * GIB, "range": U32, "align": 4,
        "groups": [65535] * 3, "threads": 1024, "size": [1024, 1024], "shared": 65536, "push": 256,
    }


def nvk():
    each = all_kinds(2**20)
    return {
        "per_stage": each, "in_set": each, "colour": 8, "per_stage_resources": U32, "per_set": U32, "nvidia": True,
        "buffer": 2**31, "allocation": 2**31, "range": U32, "align": 16, "groups": [2**31 - 1, 65535, 65535],
        "threads": 1024, "size": [1024, 1024], "shared": 48 * 1024, "push": 256,
    }


def honeykrisp():
    each = all_kinds(2**20)
    return {
        "per_stage": each, "in_set": each, "colour": 8, "per_stage_resources": U32, "per_set": U32,
        "buffer": 2**37, "allocation": 2**37, "range": I32, "align": 16, "groups": [2**31 - 1, 65535, 65535],
        "threads": 1024, "size": [1024, 1024], "shared": 32 * 1024, "push": 256,
    }


def turnip():
    number = 2**30 // (4 * 16)
    each = all_kinds(number)
    return {
        "per_stage": each, "in_set": each, "colour": 8, "combined_outputs": 8 + 2 * number,
        "per_stage_resources": number, "per_set": 2**30 // (2 * 16 * 4), "buffer": 2**32, "allocation": U32,
        "range": 2**27, "align": 4, "groups": [65535] * 3, "threads": 64 * 2 * 16, "size": [1024, 1024],
        "shared": 32 * 1024, "push": 256,
    }


def v3dv(targets):
    per_stage = {"textures": 16, "uniforms": 16, "images": 4, "buffers": 8, "samplers": 16}
    return {
        "per_stage": per_stage, "in_set": {key: 4 * number for key, number in per_stage.items()},
        # Per set there are millions, more than all stages have.
        "colour": min(4, targets), "combined_outputs": targets + 8 + 4, "per_stage_resources": 128, "per_set": 2**16,
        "buffer": 2**30, "allocation": 2**30, "range": 2**30, "align": 32, "groups": [65535] * 3, "threads": 256,
        "size": [256, 256], "shared": 16384, "push": 128,
    }


DX12 = {
    "max_buffer_size": I32, "max_storage_buffer_binding_size": I32 & ~3, "min_storage_buffer_offset_alignment": 32,
    # UAVs of a tier 3 heap, shared by two stages, and by buffers and textures.
    "max_storage_buffers_per_shader_stage": 2**20 // 2 // 2, "max_compute_workgroups_per_dimension": 65535,
    "max_compute_invocations_per_workgroup": 1024, "max_compute_workgroup_size_x": 1024,
    "max_compute_workgroup_size_y": 1024, "max_compute_workgroup_storage_size": 32768, "max_immediate_size": 128,
}

METAL = {
    "max_buffer_size": 36864 * MIB, "max_storage_buffer_binding_size": 36864 * MIB,
    "min_storage_buffer_offset_alignment": 32, "max_storage_buffers_per_shader_stage": 29,
    "max_compute_workgroups_per_dimension": 65535, "max_compute_invocations_per_workgroup": 1024,
    "max_compute_workgroup_size_x": 1024, "max_compute_workgroup_size_y": 1024,
    "max_compute_workgroup_storage_size": 32768, "max_immediate_size": 256,
}

RADV_SOURCES = [
    f"limits and features: {MESA}, src/amd/vulkan/radv_physical_device.c and radv_constants.h",
    f"as wgpu reports them: {WGPU}, src/vulkan/adapter.rs and src/auxil/mod.rs",
]
ANV_SOURCES = [
    f"limits and features: {MESA}, src/intel/vulkan/anv_physical_device.c, anv_va.c, src/intel/isl/isl.c, "
    "src/intel/dev/intel_device_info.c",
    f"as wgpu reports them: {WGPU}, src/vulkan/adapter.rs and src/auxil/mod.rs",
]
V3DV_SOURCES = [
    f"limits and features: {MESA}, src/broadcom/vulkan/v3dv_device.c, v3dv_limits.h, src/broadcom/common/v3d_limits.h",
    f"as wgpu reports them: {WGPU}, src/vulkan/adapter.rs and src/auxil/mod.rs",
    "subgroups: none, as the driver lacks operations that wgpu asks for",
    "memory: not told, as it is a share of the board's",
]

DEVICES = {
    "radv-rx6700xt": {
        "name": "AMD Radeon RX 6700 XT (RADV NAVI22)", "driver": f"radv {MESA}", "device_kind": "discrete",
        "subgroups": [32, 64], "f16": True, "memory": 12 * GIB, "limits": vulkan(radv()),
        "sources": [*RADV_SOURCES, "memory: 12 GB of GDDR6, AMD's specifications of the Radeon RX 6700 XT"],
    },
    "radv-steam-deck": {
        "name": "AMD Custom GPU 0405 (RADV VANGOGH)", "driver": f"radv {MESA}", "device_kind": "integrated",
        "subgroups": [32, 64], "f16": True, "memory": None, "limits": vulkan(radv()),
        "sources": [*RADV_SOURCES, "memory: not told, as it is a share of the host's that settings decide"],
    },
    "anv-iris-xe": {
        "name": "Intel(R) Iris(R) Xe Graphics (TGL GT2)", "driver": f"Intel open-source Mesa driver {MESA}",
        "device_kind": "integrated", "subgroups": [8, 32], "f16": True, "memory": None,
        "limits": vulkan(anv(3 * GIB // 16, 3 * GIB // 8, 0)),
        "sources": [*ANV_SOURCES, "memory: not told, as it is a share of the host's; a host of at least 4 GiB is assumed"],
    },
    "anv-arc-a770": {
        "name": "Intel(R) Arc(tm) A770 Graphics (DG2)", "driver": f"Intel open-source Mesa driver {MESA}",
        "device_kind": "discrete", "subgroups": [8, 32], "f16": True, "memory": 16 * GIB,
        "limits": vulkan(anv(2 * GIB // 64, 2 * GIB // 32, 65535 // 2)),
        "sources": [*ANV_SOURCES, "memory: 16 GB of GDDR6, Intel's specifications of the Arc A770 (there is one of 8 GB, too)"],
    },
    "nvk-rtx3060": {
        "name": "NVIDIA GeForce RTX 3060 (NVK GA106)", "driver": f"NVK {MESA}", "device_kind": "discrete",
        "subgroups": [32, 32], "f16": True, "memory": 12 * GIB, "limits": vulkan(nvk()),
        "sources": [
            f"limits and features: {MESA}, src/nouveau/vulkan/nvk_physical_device.c and nvk_private.h",
            f"as wgpu reports them: {WGPU}, src/vulkan/adapter.rs and src/auxil/mod.rs",
            "memory: 12 GB of GDDR6, NVIDIA's specifications of the GeForce RTX 3060",
        ],
    },
    "honeykrisp-m1": {
        "name": "Apple M1 (G13G B1)", "driver": f"Honeykrisp {MESA}", "device_kind": "integrated",
        "subgroups": [32, 32], "f16": True, "memory": None, "limits": vulkan(honeykrisp()),
        "sources": [
            f"limits and features: {MESA}, src/asahi/vulkan/hk_physical_device.c and hk_private.h",
            f"as wgpu reports them: {WGPU}, src/vulkan/adapter.rs and src/auxil/mod.rs",
            "memory: not told, as it is a share of the host's",
        ],
    },
    "turnip-adreno660": {
        "name": "Turnip Adreno (TM) 660", "driver": f"turnip Mesa driver {MESA}", "device_kind": "integrated",
        "subgroups": [64, 128], "f16": False, "memory": None, "limits": vulkan(turnip()),
        "sources": [
            f"limits and features: {MESA}, src/freedreno/vulkan/tu_device.cc, tu_common.h, tu_descriptor_set.h, "
            "src/freedreno/common/freedreno_devices.py",
            f"as wgpu reports them: {WGPU}, src/vulkan/adapter.rs and src/auxil/mod.rs; it has no 16-bit floats "
            "without uniformAndStorageBuffer16BitAccess",
            "memory: not told, as it is a share of the host's",
        ],
    },
    "v3dv-pi4": {
        "name": "V3D 4.2, Raspberry Pi 4", "driver": f"V3DV Mesa {MESA}", "device_kind": "integrated", "subgroups": [0, 0],
        "f16": False, "memory": None, "limits": vulkan(v3dv(4)), "sources": V3DV_SOURCES,
    },
    "v3dv-pi5": {
        "name": "V3D 7.1, Raspberry Pi 5", "driver": f"V3DV Mesa {MESA}", "device_kind": "integrated", "subgroups": [0, 0],
        "f16": False, "memory": None, "limits": vulkan(v3dv(8)), "sources": V3DV_SOURCES,
    },
    "dx12-tier3": {
        "name": "DX12, resource binding tier 3", "backend": "dx12", "driver": "", "device_kind": "other",
        "subgroups": [0, 0], "f16": False, "memory": None, "limits": DX12,
        "sources": [
            f"limits: {WGPU}, src/dx12/adapter.rs, which are the same for all devices of the tier",
            "kind, subgroups, 16-bit floats and memory: not told, as devices differ",
        ],
    },
    "metal-m1-max": {
        "name": "Apple M1 Max", "backend": "metal", "driver": "", "device_kind": "integrated", "subgroups": [4, 64],
        "f16": True, "memory": None, "limits": METAL,
        "sources": [
            "the largest buffer: 36864 MB of a machine with 64 GB, as measured in gfx-rs/wgpu#2502; less memory has less",
            f"other limits and features: {WGPU}, src/metal/adapter.rs, which cites Apple's Metal Feature Set Tables",
            "memory: not told, as wgpu does not pass on what Metal recommends",
        ],
    },
}


def profile(device):
    least, most = device["subgroups"]
    return {
        "name": device["name"], "backend": device.get("backend", "vulkan"), "driver": device["driver"],
        "device_kind": device["device_kind"], "subgroup_min_size": least, "subgroup_max_size": most,
        "shader_f16": device["f16"], "memory_bytes": device["memory"], "limits": device["limits"],
        "sources": device["sources"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a profile is another")
    check = parser.parse_args().check
    # lavapipe was asked itself; its driver's figures must give the same.
    each = {**all_kinds(10**6), "buffers": 32}
    known = vulkan({
        "per_stage": each, "in_set": all_kinds(10**6), "colour": 8, "combined_outputs": 10**6,
        "per_stage_resources": 10**6, "per_set": 10**6, "buffer": U32, "allocation": 2 * GIB, "range": 2**27,
        "align": 16, "groups": [65535] * 3, "threads": 1024, "size": [1024, 1024], "shared": 32768, "push": 128,
    })
    asked = json.loads((PROFILES / "lavapipe.json").read_text(encoding="utf-8"))["limits"]
    assert known == asked, f"wgpu's arithmetic is not what it was: {known} beside {asked}"
    wrong = []
    for name, device in DEVICES.items():
        path, text = PROFILES / f"{name}.json", json.dumps(profile(device), indent=2) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(path.name)
    if wrong:
        sys.exit(f"not what their figures give: {', '.join(wrong)}; run scripts/profiles.py")


if __name__ == "__main__":
    main()
