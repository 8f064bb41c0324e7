/** A table of any length: only the rows that are seen are in the page. */
import { Group, Table, Text, TextInput } from "@mantine/core";
import { useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

export interface Column<T> {
  key: string;
  title: ReactNode;
  cell: (row: T) => ReactNode;
  figure?: boolean;
}

interface Props<T> {
  label: string;
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string;
  /** What the filter looks at; without it there is no filter. */
  text?: (row: T) => string;
  /** What the filter has at first. */
  first?: string | undefined;
  empty?: ReactNode;
  height?: string;
}

/** What the address says that the filter has at first. */
export function useFirstFilter(): string | undefined {
  const { q } = useSearch({ strict: false }) as { q?: unknown };
  return q === undefined ? undefined : String(q);
}

const ROW = 41; // pixels, until a row is measured

export function DataTable<T>({ label, columns, rows, rowKey, text, first = "", empty, height = "min(70vh, 1400px)" }: Props<T>) {
  const { t } = useTranslation();
  const [filter, setFilter] = useState(first);
  const box = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    return text && words.length ? rows.filter((row) => words.every((word) => text(row).toLowerCase().includes(word))) : rows;
  }, [rows, filter, text]);
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 12,
    getItemKey: (index) => {
      const row = shown[index];
      return row === undefined ? index : rowKey(row);
    },
  });
  const items = virtual.getVirtualItems();
  const before = items[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  const gap = (size: number) =>
    size > 0 && (
      <tr aria-hidden>
        <td style={{ height: size, padding: 0 }} colSpan={columns.length} />
      </tr>
    );
  return (
    <>
      {text && (rows.length > 8 || first) && (
        <Group mb="xs" gap="sm">
          <TextInput
            aria-label={`${t("table.filter")}: ${label}`}
            placeholder={t("table.filter")}
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value)}
            size="sm"
          />
          <Text size="sm" role="status">{t("table.shown", { shown: shown.length, all: rows.length })}</Text>
        </Group>
      )}
      {/* biome-ignore lint: a region that scrolls must be reachable by keyboard */}
      <div className="scroll" ref={box} style={{ maxHeight: height }} tabIndex={0} role="region" aria-label={label}>
        <Table aria-label={label} aria-rowcount={shown.length + 1} highlightOnHover>
          <Table.Thead>
            <Table.Tr>
              {columns.map((column) => (
                <Table.Th key={column.key} scope="col" ta={column.figure ? "right" : undefined}>
                  {column.title}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {gap(before)}
            {items.map((item) => {
              const row = shown[item.index];
              return row === undefined ? null : (
                <Table.Tr key={item.key} data-index={item.index} ref={virtual.measureElement} aria-rowindex={item.index + 2}>
                  {columns.map((column) => (
                    <Table.Td key={column.key} ta={column.figure ? "right" : undefined} className={column.figure ? "figure" : undefined}>
                      {column.cell(row)}
                    </Table.Td>
                  ))}
                </Table.Tr>
              );
            })}
            {gap(after)}
            {shown.length === 0 && (
              <Table.Tr>
                <Table.Td colSpan={columns.length}>{empty ?? t("table.empty")}</Table.Td>
              </Table.Tr>
            )}
          </Table.Tbody>
        </Table>
      </div>
    </>
  );
}
