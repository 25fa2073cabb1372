import re
from pathlib import Path

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout

required_conan_version = ">=2.0"


class QuoinConan(ConanFile):
    name = "quoin"
    description = "Runs neural networks on the CPU, inside your program"
    license = "MIT"
    topics = ("inference", "llm", "gguf", "cpu")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False], "tools": [True, False], "with_onednn": [True, False],
               "with_eigen": [True, False], "with_image_codecs": [True, False]}
    default_options = {"shared": False, "fPIC": True, "tools": False, "with_onednn": False, "with_eigen": True,
                       "with_image_codecs": True}
    implements = ["auto_shared_fpic"]
    exports_sources = ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*", "capi/*", "examples/*")

    def set_version(self):
        header = Path(self.recipe_folder, "include", "quoin", "quoin.h").read_text(encoding="utf-8")
        numbers = re.findall(r"^#define QUOIN_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.MULTILINE)
        self.version = ".".join(numbers)

    def requirements(self):
        self.requires("pcre2/[>=10.39 <11]")
        self.requires("protozero/[>=1.7 <2]", visible=False)
        self.requires("nlohmann_json/[>=3.11 <4]", visible=False)
        if self.options.with_onednn:
            self.requires("onednn/[>=2.6 <4]")
        if self.options.with_eigen:
            self.requires("eigen/[>=3.4 <4]", visible=False)

        if self.options.with_image_codecs:
            # Opened when a picture is decoded, so they must be shared libraries.
            for codec in ("libjpeg-turbo/[>=2.1 <4]", "libpng/[>=1.6 <2]", "libtiff/[>=4.5 <5]", "libwebp/[>=1.2 <2]",
                          "openjpeg/[>=2.5 <3]"):
                self.requires(codec, options={"shared": True})

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["QUOIN_BUILD_TESTS"] = False
        toolchain.cache_variables["QUOIN_BUILD_EXAMPLES"] = bool(self.options.tools)
        toolchain.cache_variables["QUOIN_ONEDNN"] = "ON" if self.options.with_onednn else "OFF"
        toolchain.cache_variables["QUOIN_EIGEN"] = "ON" if self.options.with_eigen else "OFF"
        toolchain.cache_variables["QUOIN_IMAGE_CODECS"] = "ON" if self.options.with_image_codecs else "OFF"
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "quoin")
        self.cpp_info.set_property("cmake_target_name", "quoin::quoin")
        self.cpp_info.set_property("pkg_config_name", "quoin")
        self.cpp_info.libs = ["quoin"]
        if not self.options.shared:
            self.cpp_info.defines = ["QUOIN_STATIC"]
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread", "m"]
