"""Writes dashboards/*.json from what components declare: `python -m disco.cli.dashboards`.

It needs grafana-foundation-sdk, which is there for development alone: the files are shipped. A test
compares them with the code.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from functools import reduce
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import dashboard as of
from grafana_foundation_sdk.builders import prometheus, stat, text, timeseries
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.text import TextMode

from disco.dashboards import FOLDER, Board, Link, Panel, Threshold
from disco.dashboards.board import MENU
from disco.layers.akash.dashboard import CHAIN
from disco.layers.cluster.dashboard import CLUSTER
from disco.layers.platform.dashboard_disco import DISCO
from disco.layers.platform.dashboard_logs import LOGS
from disco.layers.platform.dashboard_probes import PROBES
from disco.layers.platform.dashboard_prometheus import PROMETHEUS
from disco.layers.platform.dashboard_stack import RUNBOOK, STACK
from disco.layers.platform.dashboard_vault import VAULT
from disco.layers.platform.dashboard_workloads import WORKLOADS
from disco.layers.servers.dashboard import SERVERS

BOARDS = (
    *(STACK, DISCO, SERVERS, CLUSTER, WORKLOADS, PROMETHEUS, PROBES),
    *(VAULT, LOGS, CHAIN, RUNBOOK),
)
SOURCE = model.DataSourceRef(type_val="prometheus", uid="prometheus")
HEIGHTS = {"lines": 8, "figure": 4, "text": 20}
LAST = ["lastNotNull"]


def files() -> dict[str, str]:
    """The content of each file of the folder, by its name."""
    return {f"{board.name}.json": json_of(board) for board in BOARDS}


def json_of(board: Board) -> str:
    """The same text for the same board: sorted, numbered from 1, without dates."""
    drawn = (
        of.Dashboard(board.title)
        .uid(board.address)
        .description(board.about)
        .tags([board.tag])
        .readonly()
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s" if any(board.expressions) else "")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_others())
    )
    numbers = iter(range(1, 1000))
    for row in board.rows:
        if row.title:
            drawn = drawn.with_row(of.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            drawn = drawn.with_panel(_panel(panel).id(next(numbers)))
    data = json.loads(JSONEncoder().encode(drawn.build()))
    data["panels"] = [_lean(panel) for panel in data["panels"]]
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _lean(panel: dict[str, Any]) -> dict[str, Any]:
    """Without what is so anyway."""
    kept = {k: v for k, v in panel.items() if v not in (False, "") and k != "repeatDirection"}
    links = panel.get("links", [])
    return kept | {"links": [{k: v for k, v in x.items() if v} for x in links]} if links else kept


def _others() -> of.DashboardLink:
    """All other dashboards, as a menu."""
    return (
        of.DashboardLink("Dashboards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([MENU])
        .as_dropdown(True)
        .keep_time(True)
    )


def _panel(panel: Panel) -> Any:
    if panel.kind == "text":
        drawn: Any = text.Panel().mode(TextMode.MARKDOWN).content(panel.about)
    elif panel.kind == "figure":
        drawn = (
            stat.Panel()
            .color_mode(BigValueColorMode.VALUE)
            .reduce_options(ReduceDataOptions().calcs(LAST))
        )
    else:
        drawn = (
            timeseries.Panel()
            .legend(
                VizLegendOptions()
                .show_legend(True)
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
            )
            .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
            .show_points(VisibilityMode.NEVER)
            .line_width(1)
        )
    drawn = drawn.title(panel.title).height(HEIGHTS[panel.kind]).span(panel.columns)
    if panel.kind == "text":
        return drawn
    drawn = drawn.description(panel.about).datasource(SOURCE).unit(panel.unit or "short")
    drawn = drawn.thresholds(of.ThresholdsConfig().steps(list(_steps(panel.thresholds))))
    if panel.least is not None:
        drawn = drawn.min(panel.least)
    if panel.most is not None:
        drawn = drawn.max(panel.most)
    if panel.decimals is not None:
        drawn = drawn.decimals(panel.decimals)
    if panel.alerts or panel.links:
        drawn = drawn.links(list(_links(panel)))
    return reduce(lambda to, query: to.with_target(query), _queries(panel), drawn)


def _queries(panel: Panel) -> Iterator[prometheus.Dataquery]:
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).expr(query.expr)
        asked = asked.instant() if panel.kind == "figure" else asked.range()
        yield asked.legend_format(query.legend) if query.legend else asked


def _steps(thresholds: Iterable[Threshold]) -> Iterator[model.Threshold]:
    """Green below the first one, unless that is all."""
    found = list(thresholds)
    if not found or found[0].at > -math.inf:
        yield model.Threshold(None, "green")
    for threshold in found:
        at = None if threshold.at == -math.inf else threshold.at
        yield model.Threshold(at, threshold.colour)


def _links(panel: Panel) -> Iterator[of.DashboardLink]:
    runbooks = (Link(f"Runbook: {alert}", f"runbook-{alert.lower()}") for alert in panel.alerts)
    for link in (*panel.links, *runbooks):
        yield (
            of.DashboardLink(link.title).url(f"/d/{link.board}").type(model.DashboardLinkType.LINK)
        )


def main() -> None:
    """Write all files, and remove those that nothing declares any more."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_text(content, encoding="utf-8")
        sys.stderr.write(f"dashboards/{name}\n")


if __name__ == "__main__":
    main()
