/** Figures as people read them. What was not measured is never shown as 0. */
import { Text } from "@mantine/core";
import { useTranslation } from "react-i18next";

/** Three digits that count: 0.12, 1.5, 23, 1200. */
export const short = (value: number): string =>
  value === 0 ? "0" : value < 0.01 ? "<0.01" : value < 10 ? String(Number(value.toPrecision(2))) : String(Math.round(value));

export function useFigures() {
  const { t } = useTranslation();
  const none = t("figures.none");
  return {
    rate: (value: number | null | undefined) => (value == null ? none : value === 0 ? t("figures.idle") : short(value)),
    /** Of a part of one, 0 to 1. null: of no requests, undefined: nobody counts. */
    part: (value: number | null | undefined) => (value === undefined ? none : value === null ? t("figures.ofNothing") : t("figures.percent", { value: short(value * 100) })),
    percent: (value: number | null | undefined) => (value == null ? none : t("figures.percent", { value: short(value) })),
    ms: (value: number | null | undefined) => (value === undefined ? none : value === null ? t("figures.ofNothing") : t("figures.ms", { value: short(value) })),
  };
}

/** A figure of a lane, and the same of base. */
export function BesideBase({ lane, base, worse }: { lane: string; base: string; worse: boolean }) {
  const { t } = useTranslation();
  return (
    <span className="figure">
      <Text span inherit fw={worse ? 700 : undefined}>
        {worse && <span aria-hidden>▲ </span>}
        {lane}
      </Text>{" "}
      <Text span size="xs" c="var(--mantine-color-text)" opacity={0.85}>
        {t("figures.besideBase", { value: base })}
      </Text>
    </span>
  );
}
