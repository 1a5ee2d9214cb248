"""Licences as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwork.text.spdx import allowed, spdx_id

WRITTEN = {
    "mit": ["MIT", "The MIT License", "mit licence", "https://opensource.org/licenses/MIT"],
    "apache-2.0": [
        "Apache-2.0",
        "Apache License, Version 2.0",
        "Apache 2",
        "https://www.apache.org/licenses/LICENSE-2.0.html",
    ],
    "gpl-3.0": ["GPLv3", "GPL v3", "gpl3", "https://www.gnu.org/licenses/gpl-3.0.html"],
    "gpl-3.0-or-later": ["GPL-3.0-or-later"],
    "cc-by-4.0": ["CC BY 4.0", "Creative Commons Attribution 4.0 International", "cc-by-4"],
    "cc-by-sa-4.0": ["https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA 4.0"],
    "cc-by-nc-nd-3.0": ["http://creativecommons.org/licenses/by-nc-nd/3.0/us/"],
    "cc0-1.0": ["CC0", "CC0 1.0", "Creative Commons Zero v1.0 Universal", "creativecommons.org/publicdomain/zero/1.0"],
    "bsd-3-clause": ["BSD-3-Clause", "BSD 3-Clause License"],
    "lgpl-2.1": ["LGPL-2.1", "LGPLv2.1"],
    "proprietary": ["Proprietary"],
    "": ["", " "],
}


@pytest.mark.parametrize(("spdx", "name"), [(spdx, name) for spdx, names in WRITTEN.items() for name in names])
def test_ids(spdx: str, name: str) -> None:
    assert spdx_id(name) == spdx


@given(st.sampled_from([name for names in WRITTEN.values() for name in names]))
def test_an_id_stays_what_it_is(name: str) -> None:
    assert spdx_id(spdx_id(name)) == spdx_id(name)
    assert spdx_id(name.upper()) == spdx_id(name)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR BSD-3-Clause AND MIT", True),
        ("(GPL-3.0-only OR BSD-3-Clause) AND GPL-2.0-only", False),
        ("(GPL-3.0-only OR (BSD-3-Clause AND MIT))", True),
        ("MIT WITH some-exception-1.0", True),
        ("The MIT License (MIT)", False),  # one name, not known as such
        ("GPL-3.0-only OR", False),
        ("", False),
    ],
)
def test_expressions(expression: str, wanted: bool) -> None:
    assert allowed(expression, lambda name: name in ("mit", "bsd-3-clause")) == wanted
