/** Deployments of Kubernetes behind a promotion: what base has, what it would get, and what is scaled down. */
import { Accordion, Alert, Code, List, Stack, Table, Text } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { stringify } from "yaml";
import type { Told } from "../api/effects";
import { Lines } from "./Lines";

export function Deployments({ told }: { told: Told }) {
  const { t } = useTranslation();
  const every = told.deployments ?? [];
  const pairs = every.filter((one) => "base" in one);
  const scaled = every.filter((one) => "replicas" in one);
  const images = pairs.flatMap((pair) => pair.images.map((image) => ({ ...image, application: pair.application, deployment: pair.base })));
  const templates = pairs.filter((one) => one.template != null);
  return (
    <>
      {images.length > 0 && (
        <Table.ScrollContainer type="native" minWidth={420} tabIndex={0} role="region" aria-label={t("deployments.title")}>
          <Table aria-label={t("deployments.title")} fz="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">{t("group.application")}</Table.Th>
                <Table.Th scope="col">{t("deployments.base")}</Table.Th>
                <Table.Th scope="col">{t("deployments.container")}</Table.Th>
                <Table.Th scope="col">{t("deployments.image")}</Table.Th>
                <Table.Th scope="col">{t("deployments.canary")}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {images.map((one) => (
                <Table.Tr key={`${one.deployment} ${one.container}`}>
                  <Table.Td>{one.application}</Table.Td>
                  <Table.Td>{one.deployment}</Table.Td>
                  <Table.Td>{one.container}</Table.Td>
                  <Table.Td><Code>{one.base || "–"}</Code></Table.Td>
                  <Table.Td><Code>{one.canary || "–"}</Code></Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Texts texts={pairs.flatMap((one) => [...one.differences, ...one.warnings])} />
      {(told.problems ?? []).length > 0 && <Alert color="red" title={t("deployments.problems")}><Texts texts={told.problems ?? []} /></Alert>}
      {templates.length > 0 && (
        <Accordion variant="contained">
          {templates.map((one) => (
            <Accordion.Item key={one.base} value={one.base}>
              <Accordion.Control>{t("deployments.template", { deployment: one.base })}</Accordion.Control>
              <Accordion.Panel><Lines label={one.base} text={stringify(one.template)} /></Accordion.Panel>
            </Accordion.Item>
          ))}
        </Accordion>
      )}
      {scaled.length > 0 && (
        <Stack gap={0}>
          {scaled.map((one) => <Text key={one.deployment} size="sm">{t("deployments.scaled", { deployment: one.deployment, count: one.replicas })}</Text>)}
        </Stack>
      )}
    </>
  );
}

function Texts({ texts }: { texts: string[] }) {
  return texts.length ? <List size="sm">{texts.map((one) => <List.Item key={one}>{one}</List.Item>)}</List> : null;
}
