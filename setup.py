"""Packaging of edgetune. The environment itself comes from the locks in requirements/, see the Makefile."""

import re
from pathlib import Path

from setuptools import find_packages, setup

# Read and not imported: the build environment has none of the packages that edgetune imports.
VERSION = re.search(r'^__version__ = "(.+)"$', Path("edgetune/__init__.py").read_text(encoding="utf-8"), re.MULTILINE)[
    1
]

TFX_116 = 'python_version < "3.11"'
TFX_121 = 'python_version >= "3.11"'

setup(
    name="edgetune",
    version=VERSION,
    description="From a folder of images to a blessed SavedModel and phone-ready LiteRT models, as a TFX pipeline",
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    keywords=["image classification", "transfer learning", "tfx", "litert", "tflite", "on-device"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10,<3.14",
    # Without `package_dir`, an editable install maps the one name edgetune. With it, the whole checkout would be on the
    # path of every program in the environment, and `modules`, `pipeline` and `tests` could be imported.
    # Folders of data are packages too, so that they are found beside the code wherever it is installed.
    # The folders are links in edgetune/, so that all code has one import name.
    packages=[
        *find_packages(include=["edgetune", "edgetune.*"]),
        "edgetune.configs",
        "edgetune.schemas",
        "edgetune.requirements",
    ],
    package_data={
        "": ["*.yaml", "*.json", "*.pbtxt", "*.safetensors", "*.log", "*.html", "*.css", "*.js", "*.svg", "py.typed"],
        # Its digest stands for the libraries in the container image, wherever a pipeline is compiled.
        "edgetune.requirements": ["tfx121.txt"],
        "edgetune.pipeline.demo": ["page/*"],
        "edgetune.pipeline.client": ["templates/**/*"],
    },
    install_requires=[
        f"tfx[kfp]==1.16.0; {TFX_116}",
        f"keras==3.6.0; {TFX_116}",
        f"dill; {TFX_116}",
        f"google-api-core<2.28; {TFX_116}",
        f"google-cloud-aiplatform<1.71; {TFX_116}",
        f"pyarrow-hotfix; {TFX_116}",
        f"tfx==1.21.0; {TFX_121}",
        f"keras>=3.12; {TFX_121}",
        f"kfp>=2.6,<2.17; {TFX_121}",
        f"kfp-pipeline-spec>=0.3,<2.17; {TFX_121}",
        f"tensorboard>=2.20,<2.22; {TFX_121}",
        "ai-edge-litert>=2.3",
        "cleanlab>=2.9",
        "click>=8.1",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "pillow>=11",
        "pip",
        "pydantic>=2.7",
        "pyyaml>=6",
        "rich>=13",
        "safetensors>=0.4",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "setuptools<81",
        "zlib-ng>=0.5",
    ],
    extras_require={"heif": ["pillow-heif>=1.0"]},
    entry_points={"console_scripts": ["edgetune = edgetune.pipeline.cli:program"]},
)
