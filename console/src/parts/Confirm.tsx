/** Asks before an action: says what it will do, then does it and waits until the server has done it. */
import { Alert, Button, Checkbox, Group, Loader, Modal, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, type Call, call, curl } from "../api/client";
import { type Document, effectOf } from "../api/effects";
import { documentsKey } from "../api/queries";
import { Commands, Effect } from "./Effect";

export interface Action {
  title: string;
  /** What will happen, with figures. */
  says: ReactNode;
  call: Call;
  /** The same as a `laneway` command. */
  command: string;
  /** The documents afterwards, of which the server tells the effect; without them `says` is all. */
  documents?: Document[];
  danger?: boolean;
  /** A query parameter that lets the server do it all the same. */
  force?: string;
}

interface Props {
  action: Action | null;
  close: () => void;
  /** What follows once it is done. */
  done?: () => void;
}

export function Confirm({ action, close, done }: Props) {
  const { t } = useTranslation();
  return (
    <Modal opened={action !== null} onClose={close} title={action?.title} size="lg" closeButtonProps={{ "aria-label": t("effect.close") }}>
      {action && <Body action={action} close={close} done={done} />}
    </Modal>
  );
}

function Body({ action, close, done }: { action: Action; close: () => void; done: (() => void) | undefined }) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [force, setForce] = useState(false);
  const [wrong, setWrong] = useState<ApiError | null>(null);
  const effect = useQuery({
    queryKey: ["effect", action.documents],
    queryFn: () => effectOf(action.documents ?? []),
    enabled: action.documents !== undefined,
    retry: false,
    staleTime: 0,
  });
  const asked: Call = force && action.force ? { ...action.call, path: `${action.call.path}?${action.force}` } : action.call;
  const act = async () => {
    setBusy(true);
    setWrong(null);
    try {
      await call(asked);
      await queries.invalidateQueries({ queryKey: documentsKey });
      notifications.show({ message: t("effect.done", { what: action.title }), color: "teal", closeButtonProps: { "aria-label": t("effect.close") } });
      close();
      done?.();
    } catch (error) {
      setWrong(error instanceof ApiError ? error : new ApiError(0, null, String(error)));
    } finally {
      setBusy(false);
    }
  };
  const refused = effect.error instanceof ApiError ? effect.error : null;
  return (
    <Stack>
      <Text component="div">{action.says}</Text>
      {effect.isLoading && <Loader size="sm" aria-label={t("shell.loading")} />}
      {effect.data && <Effect applied={effect.data} />}
      <Refused error={refused} />
      <Commands commands={[action.command, curl(asked)]} />
      <Refused error={wrong} />
      {action.force && wrong?.status === 409 && (
        <Checkbox label={t("effect.force")} checked={force} onChange={(event) => setForce(event.currentTarget.checked)} />
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>{t("effect.cancel")}</Button>
        <Button color={action.danger ? "red" : undefined} loading={busy} disabled={refused !== null} onClick={() => void act()} data-autofocus>
          {action.title}
        </Button>
      </Group>
    </Stack>
  );
}

/** Why the server refuses, with what to do about it. */
export function Refused({ error }: { error: ApiError | null }) {
  const { t } = useTranslation();
  if (!error) return null;
  return (
    <Alert color="red" role="alert" title={error.status === 412 ? t("effect.changedMeanwhile") : error.message}>
      {(error.problem?.errors ?? []).map((one) => (
        <Text key={`${one.document} ${one.field} ${one.message}`} size="sm">
          {[one.document, one.field].filter(Boolean).join(" ")} {one.message}. {one.remedy}
        </Text>
      ))}
    </Alert>
  );
}
