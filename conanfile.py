import re
from pathlib import Path

from conan import ConanFile
from conan.tools.build import check_min_cppstd, stdcpp_library
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout

required_conan_version = ">=2.0"


class QuoinConan(ConanFile):
    name = "quoin"
    description = "Runs neural networks on the CPU, inside your program"
    license = "MIT"
    topics = ("inference", "llm", "gguf", "cpu")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    # Conan Center has no oneDNN: with_onednn needs a recipe from elsewhere.
    options = {"shared": [True, False], "fPIC": [True, False], "tools": [True, False], "with_onednn": [True, False],
               "with_eigen": [True, False], "with_image_codecs": [True, False]}
    default_options = {"shared": False, "fPIC": True, "tools": False, "with_onednn": False, "with_eigen": True,
                       "with_image_codecs": True}
    implements = ["auto_shared_fpic"]
    exports_sources = ("CMakeLists.txt", "LICENSE", "THIRD_PARTY_NOTICES.md", "cmake/*", "include/*", "src/*", "capi/*",
                       "examples/*")

    def set_version(self):
        header = Path(self.recipe_folder, "include", "quoin", "quoin.h").read_text(encoding="utf-8")
        numbers = re.findall(r"^#define QUOIN_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.MULTILINE)
        self.version = ".".join(numbers)

    def config_options(self):
        if self.settings.os == "Windows":
            del self.options.fPIC
        if self.settings.os != "Linux":
            del self.options.with_image_codecs  # cmake/ImageCodecs.cmake takes ELF libraries only

    def requirements(self):
        self.requires("pcre2/[>=10.39 <11]")
        self.requires("protozero/[>=1.7 <2]", visible=False)
        self.requires("nlohmann_json/[>=3.11 <4]", visible=False)
        if self.options.with_onednn:
            self.requires("onednn/[>=2.6 <4]")
        if self.options.with_eigen:
            self.requires("eigen/[>=3.4 <4]", visible=False)
        if self.options.get_safe("with_image_codecs"):
            # Opened when a picture is decoded, so they are shared libraries that nobody has to link. Two libraries that
            # both stand for libjpeg cannot be in one program, so libtiff takes ours, which comes first to be shared.
            self._require_codec("libjpeg-turbo/[>=2.1 <4]")
            self._require_codec("libtiff/[>=4.5 <5]", jpeg="libjpeg-turbo")
            self._require_codec("libpng/[>=1.6 <2]")
            self._require_codec("libwebp/[>=1.2 <2]")
            self._require_codec("openjpeg/[>=2.5 <3]")

    def _require_codec(self, reference, **options):
        self.requires(reference, libs=False, options={"shared": True, **options})

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
        image_codecs = self.options.get_safe("with_image_codecs")
        toolchain.cache_variables["QUOIN_IMAGE_CODECS"] = "ON" if image_codecs else "OFF"
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
        if self.options.shared:
            return
        self.cpp_info.defines = ["QUOIN_STATIC"]
        # The C++ library, too: a program in C links with the C compiler, which does not bring it.
        self.cpp_info.system_libs = [library for library in [stdcpp_library(self)] if library]
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs += ["m", "pthread"]
        if self.settings.os == "Linux":
            self.cpp_info.system_libs.append("dl")
