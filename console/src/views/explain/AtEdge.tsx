/** What the edge does to a request besides choosing its way. */
import { Code, List, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";

export function AtEdge({ way }: { way: Schemas["Explained"] }) {
  const { t } = useTranslation();
  const { listener, retries } = way;
  const headers = (some: Schemas["HeaderChange"][] | undefined) =>
    (some ?? []).map((one, index): [string, ReactNode] => [
      `${index} ${one.change} ${one.name}`,
      <>
        <Code>{one.change} {one.name}{one.change === "remove" ? "" : `: ${one.value ?? ""}`}</Code> ({t(`atEdge.by_${one.by}`)})
      </>,
    ]);
  const facts: [string, ReactNode][] = [];
  if (listener) {
    facts.push(["listener", t("atEdge.listener", { port: listener.port, addresses: listener.addresses.join(", ") })]);
    if (listener.certificate) facts.push(["certificate", t("atEdge.certificate", { certificate: listener.certificate })]);
    if (listener.http3) facts.push(["http3", t("atEdge.http3", { port: listener.http3 })]);
    if (listener.proxy_protocol) facts.push(["proxy", t("atEdge.proxyProtocol")]);
    if (listener.redirect_to_https) facts.push(["https", t("atEdge.https", { port: listener.redirect_to_https })]);
  }
  if (retries) facts.push(["retries", t("atEdge.retries", { tries: retries.tries, when: [...(retries.conditions ?? []), ...(retries.statuses ?? [])].join(", ") })]);
  if (way.cors_allowed != null) facts.push(["cors", t(way.cors_allowed ? "atEdge.corsAllowed" : "atEdge.corsRefused")]);
  if (way.keeps_request_id) facts.push(["id", t("atEdge.keepsId")]);
  if (way.access_log) facts.push(["log", t("atEdge.log", { where: way.access_log })]);
  const requests = headers(way.request_headers);
  const answers = headers(way.response_headers);
  if (facts.length + requests.length + answers.length === 0) return null;
  return (
    <div>
      <Title order={3} size="h5" mb="xs">{t("atEdge.title")}</Title>
      <List size="sm">
        {facts.map(([key, told]) => <List.Item key={key}>{told}</List.Item>)}
        {requests.map(([key, told]) => <List.Item key={`request ${key}`}>{t("atEdge.request")} {told}</List.Item>)}
        {answers.map(([key, told]) => <List.Item key={`answer ${key}`}>{t("atEdge.answer")} {told}</List.Item>)}
      </List>
    </div>
  );
}
