/** A text of any length: only the lines that are seen are in the page. */
import { Code } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";

const LINE = 20; // pixels

export function Lines({ label, text }: { label: string; text: string }) {
  const box = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => text.split("\n"), [text]);
  const virtual = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => LINE, overscan: 20 });
  const items = virtual.getVirtualItems();
  return (
    <div className="scroll" ref={box} style={{ maxHeight: "60vh" }} tabIndex={0} role="region" aria-label={label}>
      <Code block style={{ height: virtual.getTotalSize(), padding: 0, overflow: "visible", lineHeight: `${LINE}px` }}>
        <div style={{ height: items[0]?.start ?? 0 }} />
        {items.map((item) => (
          <div key={item.key} style={{ height: LINE, whiteSpace: "pre" }}>{lines[item.index]}</div>
        ))}
      </Code>
    </div>
  );
}
