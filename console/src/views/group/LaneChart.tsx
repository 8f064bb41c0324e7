/** A lane beside base over five minutes. */
import "uplot/dist/uPlot.min.css";
import { Code, Stack, Text, useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import uPlot from "uplot";
import type { Schemas } from "../../api/client";
import { laneTraffic } from "../../api/queries";

type Measure = "qps" | "exception_qps" | "p99";

export function LaneChart({ lane, measure, title, query }: { lane: string; measure: Measure; title: string; query: string }) {
  const { t } = useTranslation();
  const { data } = useQuery(laneTraffic(lane));
  return (
    <Stack gap={2}>
      <Text size="sm" fw={600}>{title}</Text>
      {data && <Lines data={data} measure={measure} title={title} />}
      <Text size="xs">
        {t("group.query")} <Code style={{ overflowWrap: "anywhere" }}>{query}</Code>
      </Text>
    </Stack>
  );
}

function Lines({ data, measure, title }: { data: Schemas["LaneTraffic"]; measure: Measure; title: string }) {
  const { t } = useTranslation();
  const dark = useComputedColorScheme("light") === "dark";
  const { ref: box, width } = useElementSize();
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const start = Date.parse(data.start) / 1000;
  const lane = data.lane.steps[measure];
  const base = data.base.steps[measure];
  const points = [lane.map((_, index) => start + index * data.step), lane, base] as uPlot.AlignedData;
  const latest = useRef(points);
  latest.current = points;

  useEffect(() => {
    if (!place.current || width === 0) return;
    const ink = dark ? "#c9c9c9" : "#212529";
    const axis = { stroke: ink, grid: { stroke: dark ? "#424242" : "#dee2e6" } };
    plot.current = new uPlot(
      {
        width,
        height: 160,
        cursor: { show: false },
        axes: [axis, axis],
        scales: { y: { range: (_, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
        series: [
          {},
          { label: data.lane_name, stroke: dark ? "#74c0fc" : "#1864ab", width: 2 },
          { label: t("effect.base"), stroke: ink, width: 2, dash: [6, 4] },
        ],
      },
      latest.current,
      place.current,
    );
    return () => plot.current?.destroy();
  }, [width, dark, data.lane_name, t]);
  useEffect(() => plot.current?.setData(points));
  return (
    <div ref={box}>
      <div ref={place} role="img" aria-label={`${title}: ${data.lane_name}, ${t("effect.base")}`} />
    </div>
  );
}
