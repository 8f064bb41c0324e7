/** Changes the share of a ratio lane; says the sum on every route while it is moved. */
import { Button, Group, Modal, NumberInput, Slider, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { sent } from "../api/effects";
import { groups, lanePath, lanes, routes } from "../api/queries";
import type { Action } from "./Confirm";
import { useFigures } from "./figures";
import { applies, takeOver } from "./laneActions";

interface Props {
  lane: Schemas["Lane"] | null;
  etag: string | null;
  close: () => void;
  then: (action: Action) => void;
}

export function ShareDialog({ lane, etag, close, then }: Props) {
  const { t } = useTranslation();
  return (
    <Modal opened={lane !== null} onClose={close} title={t("share.title", { lane: lane?.name ?? "" })} closeButtonProps={{ "aria-label": t("effect.close") }}>
      {lane?.ratio && <Body lane={lane} ratio={lane.ratio} etag={etag} close={close} then={then} />}
    </Modal>
  );
}

function Body({ lane, ratio, etag, close, then }: Omit<Props, "lane"> & { lane: Schemas["Lane"]; ratio: Schemas["Ratio"] }) {
  const { t } = useTranslation();
  const say = useFigures();
  const [percent, setPercent] = useState(ratio.percent);
  const sums = useSums({ ...lane, ratio: { ...ratio, percent } });
  const over = lane.enabled && sums.some((one) => one.sum > 100);
  const next = () => {
    const document = { ...sent(lane), ratio: { ...ratio, percent } };
    close();
    then({
      title: t("share.change"),
      says: t("share.says", { lane: lane.name, before: say.percent(ratio.percent), after: say.percent(percent) }),
      // A PUT, because it can stop a release that moves the share; If-Match has it change nothing else.
      call: { method: "PUT", path: lanePath(lane.group, lane.name), body: document, match: etag ?? undefined },
      command: applies(document),
      documents: [document],
      choices: [takeOver(t)],
    });
  };
  return (
    <Stack>
      <Slider value={percent} onChange={setPercent} min={0} max={100} step={1} thumbLabel={t("share.percent")} label={null} />
      <NumberInput
        label={t("share.percent")}
        value={percent}
        onChange={(value) => typeof value === "number" && setPercent(value)}
        min={0}
        max={100}
        decimalScale={2}
        suffix=" %"
        error={over ? t("share.over") : undefined}
        data-autofocus
      />
      <Sums sums={sums} />
      {Object.keys(ratio.routes ?? {}).length > 0 && <Text size="sm">{t("share.overrides", { routes: Object.keys(ratio.routes ?? {}).join(", ") })}</Text>}
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>{t("effect.cancel")}</Button>
        <Button onClick={next} disabled={over || percent === ratio.percent}>{t("share.next")}</Button>
      </Group>
    </Stack>
  );
}

interface Sum {
  route: string;
  own: number;
  others: number;
  sum: number;
}

export function Sums({ sums }: { sums: Sum[] }) {
  const { t } = useTranslation();
  const say = useFigures();
  if (sums.length === 0) return null;
  return (
    <Table.ScrollContainer type="native" minWidth={280} maxHeight={240} tabIndex={0} role="region" aria-label={t("share.sums")}>
      <Table aria-label={t("share.sums")} fz="sm">
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{t("share.route")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("share.own")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("share.others")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("share.sum")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sums.map((one) => (
            <Table.Tr key={one.route}>
              <Table.Td>{one.route}</Table.Td>
              <Table.Td ta="right" className="figure">{say.percent(one.own)}</Table.Td>
              <Table.Td ta="right" className="figure">{say.percent(one.others)}</Table.Td>
              <Table.Td ta="right" className="figure">
                <Text span inherit fw={one.sum > 100 ? 700 : undefined}>{one.sum > 100 && "▲ "}{say.percent(one.sum)}</Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

interface Shared {
  group: string;
  name: string;
  routes?: readonly string[] | null | undefined;
  ratio?: { percent?: number; routes?: Record<string, number> } | null | undefined;
}

const shareOn = (ratio: NonNullable<Shared["ratio"]>, route: string) => ratio.routes?.[route] ?? ratio.percent ?? 0;

const past = (time: string | null | undefined) => time != null && Date.parse(time) <= Date.now();
const counts = (lane: Schemas["Lane"]) => lane.enabled && !past(lane.until) && !past(lane.enabled_until);

/** Shares on the lane's routes, as rule 6 adds them up: over all groups of the gateway, the enabled lanes. */
export function useSums(lane: Shared): Sum[] {
  const every = useQuery(lanes).data ?? [];
  const gatewayOf = new Map((useQuery(groups).data ?? []).map((one) => [one.name, one.gateway]));
  const gateway = gatewayOf.get(lane.group);
  const mine = (useQuery(routes).data ?? []).filter((one) => one.gateway === gateway && one.service && (!lane.routes || lane.routes.includes(one.name)));
  return mine.map(({ name }) => {
    const others = every
      .filter((one) => one.name !== lane.name && counts(one) && one.ratio && gatewayOf.get(one.group) === gateway && (!one.routes || one.routes.includes(name)))
      .reduce((sum, one) => sum + (one.ratio ? shareOn(one.ratio, name) : 0), 0);
    const own = lane.ratio ? shareOn(lane.ratio, name) : 0;
    // Shares have two decimals; their binary sum may exceed 100 by less than that.
    return { route: name, own, others, sum: Math.round((others + own) * 100) / 100 };
  });
}
