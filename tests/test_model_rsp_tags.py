"""The next build number of a tag."""

from __future__ import annotations

import pytest

from peel.model.tags.next_rsp import next_rsp_tag


@pytest.mark.parametrize(
    ("tag", "taken", "expected"),
    [
        ("r1_0_0", (), "r1_0_0_rsp1"),
        ("r1_0_0", ("r1_0_0", "r1_0_0_rsp1"), "r1_0_0_rsp2"),
        ("r1_0_0_rsp1", ("r1_0_0", "r1_0_0_rsp1"), "r1_0_0_rsp2"),
        ("r1_0_0_rsp1", ("r1_0_0_rsp1", "r1_0_0_rsp7"), "r1_0_0_rsp8"),
        ("r1_0_0_rsp009", ("r1_0_0_rsp009", "r1_0_0_rsp10"), "r1_0_0_rsp11"),
        ("r1_0_0", ("r1_0_1_rsp4", "w_2026_14_rsp9", "latest"), "r1_0_0_rsp1"),
        ("r30_0_0_rc1", ("r30_0_0_rsp3",), "r30_0_0_rc1_rsp1"),
        ("r21_0_1_c0042.003", ("r21_0_1_rsp5",), "r21_0_1_c0042.003_rsp1"),
        ("r21_0_1_c0031.004_rsp103_extra-arm64", (), "r21_0_1_c0031.004_rsp104_extra-arm64"),
        ("w_2021_22_extra", ("w_2021_22_rsp3",), "w_2021_22_rsp1_extra"),
        ("w_2021_22_c0020", (), "w_2021_22_rsp1_c0020"),
        ("w_2021_22_rsp19_c0020.001", (), "w_2021_22_rsp20_c0020.001"),
        ("d_2026_04_01-amd64", (), "d_2026_04_01_rsp1-amd64"),
        ("exp_w_2026_14_landingpage", (), "exp_w_2026_14_rsp1_landingpage"),
        ("r22_0_0_rcX", (), "r22_0_0_rsp1_rcX"),
    ],
)
def test_a_build_number_is_put_where_readers_of_tags_look_for_it(
    tag: str, taken: tuple[str, ...], expected: str
) -> None:
    assert next_rsp_tag(tag, taken) == expected


@pytest.mark.parametrize("tag", ["latest", "recommended_c0044", "1.2.3", "r170", "exp_tickets-DM-1", "v29_2_0", ""])
def test_a_tag_that_would_not_be_read_with_a_build_number_gets_none(tag: str) -> None:
    assert next_rsp_tag(tag, ()) is None
