"""Builds the compiled meter and the capture program beside their sources, where there is a C compiler.

Without one the package works as it is. Both know nothing of Python, so one wheel fits every Python of a machine.
"""

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

CORE, CORE_SOURCE = "tlids_edge.flows.core.meter", "tlids_edge/flows/core/meter.c"
RING, RING_SOURCE = "tlids_edge.capture.tlids-ring", "tlids_edge/capture/ring.c"
COMPILE = [
    "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
    "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fno-strict-aliasing",
]  # fmt: skip
LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
PROGRAM = ["-fPIE"], ["-pie"]  # besides, to compile and to link the program


class Build(build_ext):
    """Leaves `meter.so`, without the name of a Python, and the program `tlids-ring`."""

    def get_ext_filename(self, ext_name: str) -> str:
        """Where a result is; setuptools asks with and without its package."""
        return ext_name.replace(".", "/") + ("" if RING.endswith(ext_name) else ".so")

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """The header says what is exported."""
        return ext.export_symbols

    def build_extension(self, ext: Extension) -> None:
        """Build one of both; setuptools itself builds libraries alone."""
        if ext.name != RING:
            super().build_extension(ext)
            return
        objects = self.compiler.compile(ext.sources, self.build_temp, extra_postargs=ext.extra_compile_args)
        self.compiler.link_executable(objects, self.get_ext_fullpath(RING), extra_postargs=ext.extra_link_args)


class AnyPython(bdist_wheel):
    """Names the machine in the wheel's name, and no Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """The wheel's tag."""
        return "py3", "none", super().get_tag()[2]


def extension(name: str, source: str, compile_also: list[str], link_also: list[str], **more: object) -> Extension:
    """One that the package can do without."""
    options = {"extra_compile_args": COMPILE + compile_also, "extra_link_args": LINK + link_also}
    return Extension(name, [source], optional=True, **options, **more)


if __name__ == "__main__":  # edge/package/compile_core.py reads the options
    setup(
        ext_modules=[
            extension(CORE, CORE_SOURCE, [], [], depends=["tlids_edge/flows/core/meter.h"]),
            extension(RING, RING_SOURCE, *PROGRAM),
        ],
        cmdclass={"build_ext": Build, "bdist_wheel": AnyPython},
    )
