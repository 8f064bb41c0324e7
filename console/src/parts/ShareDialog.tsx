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
  const sums = useSums(lane, percent);
  const over = sums.some((one) => one.sum > 100);
  const next = () => {
    const body = { ratio: { percent } };
    close();
    then({
      title: t("share.change"),
      says: t("share.says", { lane: lane.name, before: say.percent(ratio.percent), after: say.percent(percent) }),
      call: { method: "PATCH", path: lanePath(lane.group, lane.name), body, match: etag ?? undefined },
      command: `laneway apply -f -  # ${JSON.stringify({ ...sent(lane), ratio: { ...ratio, percent } })}`,
      documents: [{ ...sent(lane), ratio: { ...ratio, percent } }],
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
      <Table aria-label={t("share.sums")} fz="sm">
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{t("share.route")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("share.others")}</Table.Th>
            <Table.Th scope="col" ta="right">{t("share.sum")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sums.map((one) => (
            <Table.Tr key={one.route}>
              <Table.Td>{one.route}</Table.Td>
              <Table.Td ta="right" className="figure">{say.percent(one.others)}</Table.Td>
              <Table.Td ta="right" className="figure">
                <Text span inherit fw={one.sum > 100 ? 700 : undefined}>{one.sum > 100 && "▲ "}{say.percent(one.sum)}</Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {Object.keys(ratio.routes ?? {}).length > 0 && <Text size="sm">{t("share.overrides", { routes: Object.keys(ratio.routes ?? {}).join(", ") })}</Text>}
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>{t("effect.cancel")}</Button>
        <Button onClick={next} disabled={over || percent === ratio.percent}>{t("share.next")}</Button>
      </Group>
    </Stack>
  );
}

const shareOn = (ratio: Schemas["Ratio"], route: string) => ratio.routes?.[route] ?? ratio.percent;

/** Shares on the lane's routes, as rule 6 adds them up: over all groups of the gateway, the enabled lanes. */
function useSums(lane: Schemas["Lane"], percent: number) {
  const every = useQuery(lanes).data ?? [];
  const gatewayOf = new Map((useQuery(groups).data ?? []).map((one) => [one.name, one.gateway]));
  const gateway = gatewayOf.get(lane.group);
  const mine = (useQuery(routes).data ?? []).filter((one) => one.gateway === gateway && one.service && (!lane.routes || lane.routes.includes(one.name)));
  return mine.map(({ name }) => {
    const others = every
      .filter((one) => one.name !== lane.name && one.enabled && one.ratio && gatewayOf.get(one.group) === gateway && (!one.routes || one.routes.includes(name)))
      .reduce((sum, one) => sum + (one.ratio ? shareOn(one.ratio, name) : 0), 0);
    const own = lane.ratio ? shareOn({ ...lane.ratio, percent }, name) : 0;
    return { route: name, others, sum: others + own };
  });
}
