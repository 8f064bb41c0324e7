/** What may be done with a group as a whole. */
import { Button, Group as Row } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { document, groupPath, summary } from "../../api/queries";
import { useRights } from "../../api/rights";
import { type Action, Confirm } from "../../parts/Confirm";
import { useFigures } from "../../parts/figures";
import { groupDeleted, promotion, scaledDown } from "../../parts/laneActions";

/** The group's entity tag now: an action holds for the group as it is when it is asked for. */
export function useGroupTag(group: string): () => Promise<string | null> {
  const queries = useQueryClient();
  return async () => (await queries.fetchQuery({ ...document<Schemas["LaneGroup"]>(groupPath(group)), staleTime: 0 })).etag;
}

export function GroupActions({ group, lanes }: { group: Schemas["LaneGroup"]; lanes: Schemas["Lane"][] }) {
  const { t } = useTranslation();
  const say = useFigures();
  const navigate = useNavigate();
  const { admin, operates } = useRights();
  const tag = useGroupTag(group.name);
  const seen = useQuery(summary).data;
  const [action, setAction] = useState<Action | null>(null);
  const [gone, setGone] = useState(false);
  const [ended, setEnded] = useState("");
  const promoted = group.promoted;
  const end = async (what: "finish" | "rollback") => {
    setGone(false);
    setEnded(promoted ?? "");
    setAction(promotion(what, group.name, promoted ?? "", await tag(), t));
  };
  const remove = async () => {
    const mine = seen?.lanes.filter((one) => one.group === group.name);
    setGone(true);
    setAction(groupDeleted(group, await tag(), lanes, mine?.reduce((sum, one) => sum + one.edge_qps, 0), t, say));
  };
  /** Where base has got the canaries' version, these are asked about next. */
  const done = (given: Record<string, string>) => {
    if (gone) void navigate({ to: "/" });
    else if (given.replace_base) setAction(scaledDown(group.name, ended, t));
  };
  return (
    <Row>
      {promoted && operates(group.name) && (
        <>
          <Button onClick={() => void end("finish")}>{t("actions.finish")}</Button>
          <Button color="red" variant="outline" onClick={() => void end("rollback")}>{t("actions.rollback")}</Button>
        </>
      )}
      {admin && (
        <>
          <Button component="a" variant="default" href={`#/groups/${encodeURIComponent(group.name)}/edit`}>{t("actions.editGroup")}</Button>
          <Button color="red" variant="outline" onClick={() => void remove()}>{t("actions.deleteGroup")}</Button>
        </>
      )}
      <Confirm action={action} close={() => setAction(null)} done={done} />
    </Row>
  );
}
