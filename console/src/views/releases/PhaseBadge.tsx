import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { StateBadge, type Tone } from "../../parts/StateBadge";

const TONES: Record<Schemas["Progress"]["phase"], Tone> = { starting: "watch", running: "good", paused: "watch", waiting: "watch", succeeded: "good", aborted: "bad", stopped: "idle" };

export function PhaseBadge({ release }: { release: Schemas["Release"] }) {
  const { t } = useTranslation();
  const phase = release.progress?.phase;
  return phase ? <StateBadge tone={TONES[phase]}>{t(`phase.${phase}`)}</StateBadge> : <StateBadge tone="idle">{t("releases.planned")}</StateBadge>;
}
