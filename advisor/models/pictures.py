"""Pictures that a language model sees: patches that its tower encodes, tokens of the prompt that they become, FLOPs.

A tower takes S patches of a picture (or of each of its tiles) through L layers of width w, each with P parameters:
``2 L P S + 4 w S Σ seen`` FLOPs, where a layer sees all S patches, or those of a window; a projector then makes a token
of each square of merged patches. How a picture is scaled and cut is the family's rule (``picture_rules.csv``).
"""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache

from advisor.data_files import data_dir
from advisor.models.config_fields import ConfigFields
from advisor.records import dataclass
from advisor.tables import read_records


class Scaling(StrEnum):
    """How a picture becomes patches."""

    NATIVE = "native"
    """Its own size, in cells of merged patches, within a least and a largest area."""
    AREA = "area"
    """Scaled to one area, whatever its size."""
    SIDE = "side"
    """Its own size, with no side longer than the tower's input."""
    FIXED = "fixed"
    """Scaled to the tower's square input."""
    TILES = "tiles"
    """Cut into squares of the tower's input that fit its shape best, and once more as a whole."""


@dataclass(frozen=True, slots=True)
class PictureRule:
    """A family's rule; None is not a limit."""

    architecture: str
    """``model_type`` of the vision tower, or of the whole model."""
    scaling: Scaling
    merge: int | None
    """Patches of a side that become one token; None: as the configuration says."""
    least_pixels: int | None
    most_pixels: int | None
    most_tiles: int | None
    row_tokens: int
    """Tokens that end each row of a picture."""
    beside_tokens: int
    """Tokens around a picture."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as a tower sees it."""

    parts: int
    """Tiles that are encoded each by itself; 1 of a whole picture."""
    patches: int
    """Patches of each part."""
    tokens: int
    """Tokens of the prompt, in all."""


@dataclass(frozen=True, slots=True)
class VisionTower:
    """The encoder of pictures of one model."""

    rule: PictureRule
    layers: int
    width: int
    layer_parameters: int
    patch_parameters: int
    """Parameters of the projection of a patch."""
    projector_parameters: int
    """Parameters that each token meets."""
    patch_pixels: int
    """Side of a patch."""
    merge: int
    side_pixels: int
    """Side of the tower's square input; 0: it has none."""
    window_patches: int
    """Patches that layers with a window see; 0: every layer sees all."""
    full_layers: int

    def encoded(self, width: int, height: int) -> Encoded:
        """Patches and tokens of a picture of so many pixels."""
        if self.rule.scaling is Scaling.TILES:
            # The grid whose shape is nearest; of those alike the larger, where the picture fills half of it.
            most = self.rule.most_tiles or 1
            grids = sorted(
                ((columns, rows) for columns in range(1, most + 1) for rows in range(1, most // columns + 1)),
                key=lambda grid: grid[0] * grid[1],
            )
            best, off = (1, 1), math.inf
            for columns, rows in grids:
                difference = abs(columns / rows - width / height)
                fills = width * height > columns * rows * self.side_pixels**2 / 2
                if difference < off or (difference == off and fills):
                    best, off = (columns, rows), difference
            tiles = best[0] * best[1]
            parts = tiles + 1 if tiles > 1 else 1
            patches = (self.side_pixels // self.patch_pixels) ** 2
            return Encoded(parts, patches, parts * patches // self.merge**2 + self.rule.beside_tokens)
        columns, rows = self._cells(width, height)
        tokens = columns * rows + rows * self.rule.row_tokens + self.rule.beside_tokens
        return Encoded(1, columns * rows * self.merge**2, tokens)

    def flop(self, width: int, height: int) -> float:
        """FLOPs of encoding a picture of so many pixels."""
        encoded = self.encoded(width, height)
        patches = encoded.patches
        seen = self.full_layers * patches + (self.layers - self.full_layers) * min(self.window_patches, patches)
        of_patch = 2 * (self.layers * self.layer_parameters + self.patch_parameters) + 4 * self.width * seen
        projected = 2 * self.projector_parameters * patches / self.merge**2
        return float(encoded.parts * (patches * of_patch + projected))

    def _cells(self, width: int, height: int) -> tuple[int, int]:
        """Columns and rows of merged patches: the nearest whole cells, or as many as the rule leaves."""
        cell, rule = self.patch_pixels * self.merge, self.rule
        if rule.scaling is Scaling.FIXED:
            return self.side_pixels // cell, self.side_pixels // cell
        if rule.scaling is Scaling.SIDE:
            scale = min(self.side_pixels / max(width, height), 1.0)
            return _whole(math.ceil, width * scale / cell, height * scale / cell)
        columns, rows = _whole(round, width / cell, height / cell)
        area, least, most = columns * rows * cell * cell, rule.least_pixels, rule.most_pixels
        if rule.scaling is Scaling.AREA or (most is not None and area > most):
            scale = math.sqrt((most or 1) / (width * height))
            return _whole(math.floor, width * scale / cell, height * scale / cell)
        if least is not None and area < least:
            scale = math.sqrt(least / (width * height))
            return _whole(math.ceil, width * scale / cell, height * scale / cell)
        return columns, rows


def _whole(rounded: Callable[[float], int], columns: float, rows: float) -> tuple[int, int]:
    """Whole columns and rows, one at least."""
    return max(rounded(columns), 1), max(rounded(rows), 1)


@lru_cache(maxsize=1)
def picture_rules() -> Mapping[str, PictureRule]:
    """Rules by architecture."""
    path = data_dir("instance_catalog") / "picture_rules.csv"
    return {row.text("architecture"): row.value(PictureRule) for row in read_records(path)}


def rule_of(outer: ConfigFields) -> PictureRule | None:
    """Rule of the tower that ``vision_config`` describes; None where it is not known."""
    names = (outer.section("vision_config").text("", "model_type"), outer.text("", "model_type"))
    return next((picture_rules()[name] for name in names if name in picture_rules()), None)
