import { Table } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";

/** What checks and hooks have found. */
export function Findings({ findings, label }: { findings: Schemas["Finding"][]; label: string }) {
  const { t } = useTranslation();
  const verdicts = { passed: t("releases.passed"), failed: `▲ ${t("releases.failed")}`, "not enough data": `◆ ${t("releases.notEnough")}` };
  return (
    <Table.ScrollContainer type="native" minWidth={360} tabIndex={0} role="region" aria-label={label}>
      <Table fz="sm" aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{t("releases.check")}</Table.Th>
            <Table.Th scope="col">{t("releases.verdict")}</Table.Th>
            <Table.Th scope="col">{t("releases.service")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("edit.value")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("releases.limit")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("releases.requests")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {findings.map((one) => (
            <Table.Tr key={one.check}>
              <Table.Td>{one.check}</Table.Td>
              <Table.Td>{verdicts[one.verdict]}{one.note ? ` (${one.note})` : ""}</Table.Td>
              <Table.Td>{one.service || "–"}</Table.Td>
              <Table.Td ta="right">{one.value ?? t("figures.none")}</Table.Td>
              <Table.Td ta="right">{one.limit ?? "–"}</Table.Td>
              <Table.Td ta="right">{one.requests ?? 0}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
