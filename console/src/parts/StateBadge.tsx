import { Badge } from "@mantine/core";
import type { ReactNode } from "react";

export type Tone = "good" | "idle" | "watch" | "bad";
const COLOURS: Record<Tone, string> = { good: "teal", idle: "gray", watch: "yellow", bad: "red" };
const MARKS: Record<Tone, string> = { good: "●", idle: "○", watch: "◆", bad: "▲" };

/** A state by colour and by mark, so that it is told apart without colours. */
export function StateBadge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <Badge color={COLOURS[tone]} variant="outline" c="var(--mantine-color-text)" tt="none" fw={600} leftSection={<span aria-hidden>{MARKS[tone]}</span>}>
      {children}
    </Badge>
  );
}
