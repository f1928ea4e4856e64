"""Which machine the rows of a file are of."""

from __future__ import annotations

import re
from pathlib import PurePath

from streams.export_columns import Layout, fold, listed, suggestion
from streams.export_text import Problem


def asset_named(value: str, layout: Layout) -> str | None:
    """The plant's asset that the value of an asset column means."""
    text = value.strip()
    if layout.asset is not None and "{}" in layout.asset:
        text = layout.asset.replace("{}", text)
    folded = fold(text)
    return next((asset for asset in layout.assets if fold(asset) == folded), None)


def asset_of_file(layout: Layout, *, file: str) -> str | Problem:
    """The asset of all rows: as given, as the file's name says, or the plant's only one."""
    if layout.asset is not None:
        if layout.asset in layout.assets:
            return layout.asset
        known = layout.assets
        return Problem(
            file=file,
            detail=f"the plant has no asset {layout.asset!r}{suggestion(layout.asset, known)} "
            f"(its assets: {listed(known)})",
        )
    stem = fold(PurePath(file).name)
    within = [asset for asset in layout.assets if _stands_in(fold(asset), stem)]
    longest = [asset for asset in within if len(asset) == max(map(len, within))]
    if len(longest) == 1:
        return longest[0]
    if len(layout.assets) == 1:
        return layout.assets[0]
    return Problem(
        file=file,
        detail="which asset is it? Name the file after it, or give --asset or --asset-column "
        f"(assets: {listed(layout.assets)})",
    )


def _stands_in(asset: str, stem: str) -> bool:
    """Whether the name is a word of the file's: `press-3` is of `press-3_2026.csv`, not of `press-31.csv`."""
    return re.search(rf"(?<![^\W_]){re.escape(asset)}(?![^\W_])", stem) is not None
