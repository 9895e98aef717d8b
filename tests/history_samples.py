"""Lists of packages in every format that import reads, small and made up."""

from __future__ import annotations

CHANNEL = "https://host.example/forge"
MD5 = "0123456789abcdef0123456789abcdef"
SHA256 = "ab" * 32
WHEEL = "https://wheels.example/ab/humanize-4.1.0-py3-none-any.whl"
PYTHON = f"{CHANNEL}/linux-64/python-3.11.4-hab00c5b_0_cpython.conda"
TZDATA = f"{CHANNEL}/noarch/tzdata-2023c-h71feb2d_0.tar.bz2"

EXPLICIT = f"""\
# This file may be used to create an environment using:
# platform: linux-64
@EXPLICIT
{PYTHON}#{MD5}
{TZDATA}#sha256:{SHA256}
{CHANNEL}/linux-64/zlib-1.2.13-hd590300_5.conda#{SHA256}
{CHANNEL}/linux-64/xz-5.2.6-h166bdaf_0.tar.bz2
# pip humanize @ {WHEEL}#sha256={SHA256}
"""

EXPORT = """\
# platform: linux-64
python=2.7.11=0
openssl=1.0.2f=0
conda-forge::zlib=1.2.8=3
Flask=0.10=<pip>
wrapt=1.11.1=pypi_0
"""

ENVIRONMENT = """\
# written by hand
name: Old Stack
channels:
  - conda-forge
  - nodefaults
  - defaults
dependencies:
  - python=3.7.6=h0371630_2   # exact
  - conda-forge::zlib==1.2.11=h516909a_1006
  - numpy 1.18.1 py37h8960a57_1
  - pip:
    - wrapt==1.11.1
    - https://wheels.example/ab/humanize-4.1.0-py3-none-any.whl
prefix: /home/somebody/conda
"""

LOOSE = """\
name: bleed
channels: [conda-forge]
dependencies:
  # with remarks
  - compilers
  - flake8 <3.8
  - pytest-doctestplus !=0.7.0
  - numpy=1.18
  - scipy==1.4.1
  - python=3.7.6=h0371630_2
"""

CONDA_LOCK = f"""\
version: 1
metadata:
  content_hash: {{linux-64: abc}}
  channels:
  - url: conda-forge
    used_env_vars: []
  platforms: [linux-64, osx-arm64]
  sources: [environment.yml]
package:
- name: python
  version: 3.11.4
  manager: conda
  platform: linux-64
  dependencies: {{tzdata: '', libzlib: '>=1.2'}}
  url: {PYTHON}
  hash:
    md5: {MD5}
    sha256: {SHA256}
  category: main
  optional: false
- name: tzdata
  version: 2023c
  manager: conda
  platform: linux-64
  url: {TZDATA}
  hash: {{md5: {MD5}, sha256: {SHA256}}}
  category: dev
  optional: true
- name: python
  version: 3.11.4
  manager: conda
  platform: osx-arm64
  url: {CHANNEL}/osx-arm64/python-3.11.4-h0_0.conda
  hash: {{md5: {MD5}, sha256: {SHA256}}}
  category: main
  optional: false
- name: humanize
  version: 4.1.0
  manager: pip
  platform: linux-64
  url: {WHEEL}
  hash: {{sha256: {SHA256}}}
  category: main
  optional: false
"""

PIXI_5 = f"""\
version: 5
environments:
  default:
    channels:
    - url: {CHANNEL}/
    packages:
      linux-64:
      - conda: {PYTHON}
      - pypi: {WHEEL}
      osx-arm64:
      - conda: {CHANNEL}/osx-arm64/python-3.11.4-h0_0.conda
  test:
    channels:
    - url: {CHANNEL}/
    packages:
      linux-64:
      - conda: {PYTHON}
      - conda: {TZDATA}
packages:
- kind: conda
  name: python
  version: 3.11.4
  build: hab00c5b_0_cpython
  subdir: linux-64
  url: {PYTHON}
  sha256: {SHA256}
  md5: {MD5}
  depends:
  - tzdata
  - libzlib >=1.2,<2
- kind: conda
  name: python
  version: 3.11.4
  build: h0_0
  subdir: osx-arm64
  url: {CHANNEL}/osx-arm64/python-3.11.4-h0_0.conda
  sha256: {SHA256}
- kind: conda
  name: tzdata
  version: 2023c
  build: h71feb2d_0
  subdir: noarch
  url: {TZDATA}
  sha256: {SHA256}
- kind: pypi
  name: humanize
  version: 4.1.0
  url: {WHEEL}
  sha256: {SHA256}
  requires_python: '>=3.7'
"""

PIXI_4 = PIXI_5.replace("version: 5", "version: 4", 1)

PIXI_6 = f"""\
version: 6
environments:
  default:
    channels:
    - url: {CHANNEL}/
    indexes:
    - https://wheels.example/simple
    packages:
      linux-64:
      - conda: {PYTHON}
      - conda: {TZDATA}
      - pypi: {WHEEL}
      - pypi: ./mine
packages:
- conda: {PYTHON}
  sha256: {SHA256}
  md5: {MD5}
  depends:
  - tzdata
- conda: {TZDATA}
  sha256: {SHA256}
- pypi: {WHEEL}
  name: humanize
  version: 4.1.0
  sha256: {SHA256}
- pypi: ./mine
  name: mine
  version: 0.1.0
  sha256: {SHA256}
  editable: true
"""

PIXI_7 = PIXI_6.replace(
    "version: 6\n", "version: 7\nplatforms:\n- name: workstation\n  subdir: linux-64\n", 1
).replace("      linux-64:\n", "      workstation:\n")  # fmt: skip

ALL = {
    "explicit": EXPLICIT, "export": EXPORT, "environment": ENVIRONMENT, "loose": LOOSE, "conda-lock": CONDA_LOCK,
    "pixi 4": PIXI_4, "pixi 5": PIXI_5, "pixi 6": PIXI_6, "pixi 7": PIXI_7,
}  # fmt: skip
