"""Lists that history left behind: what is read of each format, and what is said of a file that is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import history_samples as samples
from history_samples import CHANNEL, MD5, PYTHON, SHA256, TZDATA, WHEEL
from peel.errors import DocumentError, UsageError
from peel.model.history.lock_file import Entry, make_lock_document
from peel.model.history.remembered import Format, History, Remembered
from peel.model.values import Platform
from peel.workflow.import_read import read_history

LEGACY = Path(__file__).parents[2] / "shared" / "data" / "legacy-locks"
LINUX = Platform("linux-64")


def read(
    tmp_path: Path, text: str | bytes, name: str = "list.dat", secrets: Mapping[str, str] | None = None
) -> History:
    """A list by its contents: its name says nothing."""
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_history(path, secrets or {})


def refused(tmp_path: Path, text: str | bytes) -> str:
    """What is said of a file that is no list, without its directory; there has to be a hint."""
    with pytest.raises(DocumentError) as raised:
        read(tmp_path, text, "bad")
    assert raised.value.hint
    return raised.value.message.replace(f"{tmp_path}/", "")


def only(history: History) -> dict[str, Remembered]:
    """The packages of a history that has one environment for one platform, by name."""
    (packages,) = history.packages.values()
    return {package.name: package for package in packages}


@pytest.mark.parametrize(
    ("sample", "form"),
    [
        ("explicit", Format.EXPLICIT), ("export", Format.EXPORT), ("environment", Format.ENVIRONMENT),
        ("loose", Format.ENVIRONMENT), ("conda-lock", Format.CONDA_LOCK), ("pixi 4", Format.PIXI),
        ("pixi 5", Format.PIXI), ("pixi 6", Format.PIXI), ("pixi 7", Format.PIXI),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["list.txt", "environment.yml", "pixi.lock", "noname"])
def test_the_contents_decide_on_the_format_and_never_the_name(
    tmp_path: Path, sample: str, form: Format, name: str
) -> None:
    assert read(tmp_path, samples.ALL[sample], name).format is form


def test_an_explicit_list_has_urls_with_md5_sha256_or_no_hash_and_wheels_in_comments(tmp_path: Path) -> None:
    history = read(tmp_path, samples.EXPLICIT)
    found = only(history)
    assert list(history.packages) == [("", "linux-64")]
    python = Remembered("python", "3.11.4", "hab00c5b_0_cpython", "conda", CHANNEL, "linux-64", PYTHON, MD5, line=4)
    assert found["python"] == python
    assert (found["tzdata"].subdir, found["tzdata"].sha256, found["tzdata"].md5) == ("noarch", SHA256, "")
    assert found["zlib"].sha256 == SHA256
    assert (found["xz"].md5, found["xz"].sha256) == ("", "")
    assert (found["humanize"].manager, found["humanize"].version, found["humanize"].sha256) == ("pip", "4.1.0", SHA256)


def test_an_explicit_list_without_a_header_is_for_the_platform_of_its_urls(tmp_path: Path) -> None:
    history = read(tmp_path, f"@EXPLICIT\r\n{TZDATA}\r\n{PYTHON}\r\n")
    assert history.platforms == ["linux-64"]


def test_an_exported_list_tells_what_pip_had_installed(tmp_path: Path) -> None:
    found = only(read(tmp_path, samples.EXPORT))
    assert (found["python"].version, found["python"].build, found["python"].line) == ("2.7.11", "0", 2)
    assert found["zlib"].channel == "conda-forge"
    assert {name for name, package in found.items() if package.manager == "pip"} == {"flask", "wrapt"}
    assert not any(package.is_loose for package in found.values())


def test_an_environment_file_may_be_exact_in_three_ways_and_have_wheels(tmp_path: Path) -> None:
    history = read(tmp_path, samples.ENVIRONMENT)
    found = only(history)
    assert (history.name, history.channels) == ("Old Stack", ("conda-forge", "defaults"))
    builds = {name: package.build for name, package in found.items() if package.manager == "conda"}
    assert builds == {"python": "h0371630_2", "zlib": "h516909a_1006", "numpy": "py37h8960a57_1"}
    assert found["zlib"].channel == "conda-forge"
    assert (found["wrapt"].version, found["wrapt"].line) == ("1.11.1", 12)
    assert (found["humanize"].version, found["humanize"].url) == ("4.1.0", WHEEL)
    assert not any(package.is_loose for package in found.values())


def test_an_environment_file_of_a_person_is_loose_with_its_specs_as_they_stand(tmp_path: Path) -> None:
    found = only(read(tmp_path, samples.LOOSE))
    assert {name: package.spec for name, package in found.items()} == {
        "compilers": "compilers", "flake8": "flake8 <3.8", "pytest-doctestplus": "pytest-doctestplus !=0.7.0",
        "numpy": "numpy=1.18", "scipy": "scipy==1.4.1", "python": "",
    }  # fmt: skip
    assert (found["scipy"].version, found["scipy"].is_loose, found["python"].is_loose) == ("1.4.1", True, False)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-r requirements.txt", "an option of pip's"),
        ("-e ./mine", "an option of pip's"),
        ("wrapt==1.0; python_version < '3'", "a marker"),
        ("https://host.example/mine-1.0.tar.gz", "no wheel"),
        ("mine @ git+https://host.example/mine.git", "no wheel"),
    ],
)
def test_what_only_pip_could_follow_is_remembered_with_the_reason(tmp_path: Path, line: str, why: str) -> None:
    text = f"dependencies:\n- python=3.7.6=0\n- pip:\n  - {line!r}\n"
    (package,) = (each for each in read(tmp_path, text).packages["", ""] if each.manager == "pip")
    assert why in package.why
    assert (package.is_loose, package.line) == (False, 4)


def test_a_conda_lock_has_platforms_and_categories_that_are_environments(tmp_path: Path) -> None:
    history = read(tmp_path, samples.CONDA_LOCK)
    assert (history.platforms, history.environments) == (["linux-64", "osx-arm64"], ["dev", "main"])
    main, dev = (history.select(name, LINUX) for name in ("main", "dev"))
    assert [package.name for package in main] == ["python", "humanize"]
    assert [package.name for package in dev] == ["python", "humanize", "tzdata"]
    assert (main[0].depends, main[0].line, main[0].sha256) == (("libzlib >=1.2", "tzdata"), 15, SHA256)


@pytest.mark.parametrize("sample", ["pixi 4", "pixi 5"])
def test_a_pixi_lock_up_to_version_5_describes_packages_in_full(tmp_path: Path, sample: str) -> None:
    history = read(tmp_path, samples.ALL[sample])
    assert history.environments == ["default", "test"]
    assert history.channels == (CHANNEL,)
    default = history.select("default", LINUX)
    assert [(package.name, package.manager) for package in default] == [("python", "conda"), ("humanize", "pip")]
    assert default[0].depends == ("tzdata", "libzlib >=1.2,<2")
    assert [package.name for package in history.select("test", LINUX)] == ["python", "tzdata"]
    assert history.select("default", Platform("linux-64"))[0].subdir == "linux-64"


@pytest.mark.parametrize("sample", ["pixi 6", "pixi 7"])
def test_a_pixi_lock_from_version_6_refers_by_url_and_may_hold_what_was_built_from_sources(
    tmp_path: Path, sample: str
) -> None:
    found = {package.name: package for package in read(tmp_path, samples.ALL[sample]).select("default", LINUX)}
    assert (found["python"].md5, found["python"].sha256, found["tzdata"].sha256) == (MD5, SHA256, SHA256)
    assert found["humanize"].url == WHEEL
    assert "built from sources" in found["mine"].why


@pytest.mark.skipif(not LEGACY.is_dir(), reason="the real lists of ../shared are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "form", "conda", "pip", "loose"),
    [
        ("2016-02_232cacf_conda_packages.txt", "export", 41, 0, 0),
        ("2019-03_fd1ce62_conda3_packages-linux-64.txt", "environment", 88, 2, 0),
        ("2020-05_46b24e8_conda3_packages-linux-64.yml", "environment", 250, 2, 0),
        ("2020-08_cb4e2dc_conda-linux-64.lock", "explicit", 284, 0, 0),
        ("2020-08_cb4e2dc_conda3_bleed-linux-64.yml", "environment", 74, 0, 74),
        ("2021-11_e945ec5_qserv_conda-linux-64.lock", "explicit", 213, 0, 0),
    ],
)
def test_real_lists_are_read_to_the_last_package(name: str, form: str, conda: int, pip: int, loose: int) -> None:
    history = read_history(LEGACY / name, {})
    (packages,) = history.packages.values()
    counts = Counter(package.manager for package in packages)
    assert (history.format.value, counts["conda"], counts["pip"]) == (form, conda, pip)
    assert sum(package.is_loose for package in packages) == loose
    assert all(package.line for package in packages)


@pytest.mark.parametrize("sample", list(samples.ALL))
def test_of_a_list_that_is_cut_off_anywhere_comes_an_error_or_its_first_packages(tmp_path: Path, sample: str) -> None:
    text = samples.ALL[sample]
    whole = titles(read(tmp_path, text))
    odd = 0 if sample in {"explicit", "conda-lock", "pixi 4", "pixi 5", "pixi 6", "pixi 7"} else 1
    for end in range(0, len(text), 7):
        history = attempt(tmp_path, text[:end])
        # of a list without hashes, the end of the last line may be missing; nobody can tell
        assert history is None or len(titles(history) - whole) <= odd


def titles(history: History) -> set[str]:
    """What it names and somebody could have."""
    return {package.title for packages in history.packages.values() for package in packages if not package.why}


def attempt(tmp_path: Path, text: str) -> History | None:
    try:
        return read(tmp_path, text)
    except DocumentError as error:
        return None if error.hint else pytest.fail(error.message)


def test_a_list_of_ten_thousand_packages_is_read(tmp_path: Path) -> None:
    urls = "".join(f"{CHANNEL}/noarch/package{n}-1.{n}-0.conda#{MD5}\n" for n in range(10_000))
    assert len(only(read(tmp_path, f"@EXPLICIT\n{urls}"))) == 10_000
    entries = [
        Entry(f"package{n}", "1", "conda", "linux-64", f"{CHANNEL}/noarch/package{n}-1-0.conda") for n in range(2_000)
    ]
    document = make_lock_document(entries, [], ["linux-64"])
    assert len(document["package"]) == 2_000


FOREIGN = {
    "nothing": ("", "bad: is empty"),
    "only remarks": ("# platform: linux-64\n\n", "bad: is empty"),
    "a marker alone": ("@EXPLICIT\n", "bad: an @EXPLICIT list that names no package"),
    "one URL": (f"{PYTHON}\n", "bad:1: a URL in a file without a line @EXPLICIT"),
    "a URL cut off": (f"@EXPLICIT\n{PYTHON}\n{CHANNEL}/linux-64/zlib-1.2", "bad:3: not the URL of a conda package"),
    "a hash cut off": (f"@EXPLICIT\n{PYTHON}#{MD5[:20]}", "bad:2: neither an md5 nor a sha256"),
    "an export cut off": ("python=2.7.11=0\nopenssl=1.0", "bad:2: not NAME=VERSION=BUILD: 'openssl=1.0'"),
    "a page": ("<!DOCTYPE html>\n<html></html>\n", "bad:1: is a page of HTML"),
    "JSON": ('{"name": "env", "packages": []}', "bad:1: is a JSON document"),
    "a poetry.lock": ('[[package]]\nname = "x"\n', "bad:1: is a poetry.lock"),
    "TOML": ("[tool.pixi]\nx = 1\n", "bad:1: is a TOML document"),
    "requirements": ("# mine\nnumpy==1.2.3\nscipy>=1\n", "bad:2: is a requirements.txt: 'numpy==1.2.3'"),
    "an option of pip's": ("-r other.txt\n", "bad:1: is a requirements.txt"),
    "a table": (
        "# packages in environment at /opt:\n#\nzlib    1.2.8    0    defaults\n", "bad:3: is a table of conda list",
    ),
    "prose": ("hello\nworld\n", "bad:1: is no list of packages that import knows: 'hello'"),
    "other YAML": ("services: {web: 1}\n", "bad:1: is a YAML document with services"),
    "a binary": (b"\x1f\x8b\x08\0\0\0", "bad: not UTF-8 text"),
    "NUL": (b"@EXPLICIT\nab\0cd\n", "bad:2: is a binary file"),
    "two lists": (f"@EXPLICIT\n{PYTHON}\nzlib=1.2.8=0\n", "bad:3: 'zlib=1.2.8=0' is no URL"),
    "two other lists": (f"zlib=1.2.8=0\n{PYTHON}\n", "bad:2: not NAME=VERSION=BUILD"),
    "a list in YAML": (f"dependencies:\n- a=1=0\n@EXPLICIT\n{PYTHON}\n", "bad:3: @EXPLICIT in a YAML document"),
    "a path": ("@EXPLICIT\n/home/me/pkgs/zlib-1.2.8-0.conda\n", "bad:2: '/home/me/pkgs/zlib-1.2.8-0.conda' is a file"),
    "two platforms": (
        f"@EXPLICIT\n{PYTHON}\n{CHANNEL}/osx-64/zlib-1-0.conda\n", "bad:3: is for osx-64, in a list for linux-64",
    ),
    "two headers": ("# platform: linux-64\n# platform: osx-64\na=1=0\n", "bad: is for linux-64 and for osx-64"),
    "twice": ("zlib=1.2.8=0\nzlib=1.2.9=0\n", "bad:2: zlib stands twice: as zlib 1.2.9 0, and before as zlib 1.2.8 0"),
    "no dependencies": ("name: x\nchannels: [a]\n", "bad:1: an environment.yml without its dependencies"),
    "empty dependencies": ("name: x\ndependencies:\n", "bad:2: dependencies: not a list"),
    "an odd dependency": ("dependencies:\n- a=1=0\n- {b: 1}\n", "bad:3: cannot be a dependency: {'b': 1}"),
    "an odd requirement": ("dependencies:\n- pip:\n  - 'a b c'\n", "bad:3: not a requirement: 'a b c'"),
    "an endless spec": (f"dependencies:\n- {'a' * 2000}\n", "bad:2: cannot be a dependency: 'aaa"),
    "an endless requirement": (f"dependencies:\n- pip: [{'a' * 2000}]\n", "bad:2: cannot be a requirement: 'aaa"),
    "an alias": ("dependencies:\n- &x a=1=0\n- *x\n", "bad:2: an alias"),
    "another conda-lock": (samples.CONDA_LOCK.replace("version: 1\n", "version: 2\n", 1), "bad:1: version:"),
    "a conda-lock's head": (samples.CONDA_LOCK.partition("package:")[0], "bad:1: a conda-lock.yml without its"),
    "half an entry": (samples.CONDA_LOCK.partition(f"  url: {TZDATA}")[0], "bad:"),
    "a platform short": (
        samples.CONDA_LOCK.replace("osx-arm64]", "osx-arm64, osx-64]"), "bad: says that it is for osx-64",
    ),
    "an old pixi.lock": (samples.PIXI_4.replace("version: 4", "version: 3", 1), "bad:1: is a pixi.lock of version 3"),
    "a pixi.lock's head": (samples.PIXI_6.partition("\npackages:")[0], "bad:1: a pixi.lock without its packages"),
    "a pixi.lock cut off": (samples.PIXI_6.partition("- pypi: https")[0], "bad:"),
    "a bad hash": (samples.PIXI_6.replace(SHA256, "abc"), "bad:"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(FOREIGN))
def test_a_file_that_is_no_list_is_told_by_name_line_and_what_it_was_taken_for(tmp_path: Path, kind: str) -> None:
    text, message = FOREIGN[kind]
    assert refused(tmp_path, text).startswith(message)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.sampled_from(list("@EXPLICIT#:/-=. \n\t[]{}<>'\"\0abz019&*!|")), max_size=200))
def test_nothing_but_an_error_of_ours_ever_comes_of_any_text(tmp_path: Path, text: str) -> None:
    attempt(tmp_path, text)


IN_USER = "https://me:hunter2@host.example/forge/linux-64/zlib-1.2.8-0.conda"
IN_PATH = "https://host.example/t/hunter2/forge/linux-64/zlib-1.2.8-0.conda"


@pytest.mark.parametrize(
    "text",
    [
        f"@EXPLICIT\n{IN_USER}\n",
        f"@EXPLICIT\n{IN_PATH}#{MD5}\n",
        "channels: ['https://me:hunter2@host.example/forge']\ndependencies: [a=1=0]\n",
        "https://host.example/t/hunter2/forge::zlib=1.2.8=0\n",
        samples.CONDA_LOCK.replace(PYTHON, IN_PATH),
        samples.PIXI_6.replace(f"url: {CHANNEL}/", "url: https://host.example/t/hunter2/forge/"),
        f"dependencies:\n- a=1=0\n- pip: ['{WHEEL.replace('//', '//me:hunter2@')}']\n",
    ],
)
def test_credentials_in_a_list_are_refused_and_never_repeated(tmp_path: Path, text: str) -> None:
    said = refused(tmp_path, text)
    assert "password or token" in said
    assert "hunter2" not in said


def test_the_value_of_an_allowed_variable_is_read_as_its_name(tmp_path: Path) -> None:
    history = read(tmp_path, f"@EXPLICIT\n{IN_PATH}\n", secrets={"TOKEN": "hunter2"})
    assert only(history)["zlib"].url == "https://host.example/t/${TOKEN}/forge/linux-64/zlib-1.2.8-0.conda"


def test_a_platform_is_chosen_that_the_list_is_for(tmp_path: Path) -> None:
    lock = read(tmp_path, samples.CONDA_LOCK.replace("osx-arm64", "linux-aarch64"))
    assert lock.choose_platform(None, LINUX) == LINUX
    assert lock.choose_platform(Platform("linux-aarch64"), LINUX) == Platform("linux-aarch64")
    assert read(tmp_path, samples.EXPLICIT).choose_platform(None, Platform("linux-aarch64")) == LINUX
    assert read(tmp_path, samples.LOOSE).choose_platform(None, LINUX) == LINUX
    with pytest.raises(DocumentError, match="is for linux-64, not for linux-aarch64"):
        read(tmp_path, samples.EXPLICIT).choose_platform(Platform("linux-aarch64"), LINUX)
    with pytest.raises(DocumentError, match="is for osx-64: not a platform that images are made for"):
        read(tmp_path, samples.EXPORT.replace("linux-64", "osx-64")).choose_platform(None, LINUX)


def test_of_several_environments_the_usual_one_is_meant_unless_one_is_named(tmp_path: Path) -> None:
    pixi = read(tmp_path, samples.PIXI_5)
    assert (pixi.choose_environment(None), pixi.choose_environment("test")) == ("default", "test")
    with pytest.raises(UsageError, match="no environment 'docs'"):
        pixi.choose_environment("docs")
    with pytest.raises(UsageError, match="several environments"):
        read(tmp_path, samples.PIXI_5.replace("  default:", "  lint:")).choose_environment(None)


def test_a_lock_file_is_the_same_in_whatever_order_packages_come() -> None:
    entries = [
        Entry("b", "1", "conda", "linux-64", f"{CHANNEL}/linux-64/b-1-0.conda", MD5, SHA256, ("a >=1,<2", "c")),
        Entry("a", "1", "pip", "linux-64", WHEEL, sha256=SHA256),
    ]
    one = make_lock_document(entries, ["forge"], ["linux-64"])
    assert one == make_lock_document(reversed(entries), ["forge"], ["linux-64"])
    assert [package["name"] for package in one["package"]] == ["a", "b"]
    assert one["package"][1]["dependencies"] == {"a": ">=1,<2", "c": ""}
    assert one["package"][0]["hash"] == {"sha256": SHA256}
