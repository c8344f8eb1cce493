"""Builds the compiled meter beside its source, where there is a C compiler; without one the package works as it is.

It is a plain shared library that knows nothing of Python, so one wheel fits every Python of a machine.
"""

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

NAME = "tlids_edge.flows.core.meter"
SOURCE = "tlids_edge/flows/core/meter.c"
COMPILE = [
    "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
    "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fno-strict-aliasing",
]  # fmt: skip
LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]


class BuildLibrary(build_ext):
    """Leaves `meter.so`, without the name of a Python."""

    def get_ext_filename(self, ext_name: str) -> str:
        """Where the library is."""
        return ext_name.replace(".", "/") + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """The header says what is exported."""
        return ext.export_symbols


class AnyPython(bdist_wheel):
    """Names the machine in the wheel's name, and no Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """The wheel's tag."""
        return "py3", "none", super().get_tag()[2]


if __name__ == "__main__":  # edge/package/compile_core.py reads COMPILE and LINK
    setup(
        ext_modules=[
            Extension(
                NAME,
                [SOURCE],
                depends=["tlids_edge/flows/core/meter.h"],
                extra_compile_args=COMPILE,
                extra_link_args=LINK,
                optional=True,
            )
        ],
        cmdclass={"build_ext": BuildLibrary, "bdist_wheel": AnyPython},
    )
