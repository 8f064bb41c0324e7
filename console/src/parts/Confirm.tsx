/** Asks before an action: says what it will do, then does it and waits until the server has done it. */
import { Alert, Button, Checkbox, Group, Loader, Modal, Stack, Text, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, type Call, call } from "../api/client";
import { type Document, type Told, effectOf, withParameters } from "../api/effects";
import { documentsKey } from "../api/queries";
import { Commands, Effect, useCurl } from "./Effect";

/** What the user may ask for besides: a parameter of the call, and an option of the command. */
export interface Choice {
  label: string;
  parameter: string;
  option: string;
  /** A text in place of yes. */
  text?: { placeholder: string };
  /** When it is offered: always, once the server has refused the action, where a release keeps the shares, or where
   * base Deployments may be replaced. */
  when: "always" | "refused" | "kept" | "replaceable";
}

export interface Action {
  title: string;
  /** What will happen, with figures. */
  says: ReactNode;
  call: Call;
  /** The same as a `laneway` command; where there are choices, with the options of what was chosen. */
  command: string | ((options: string) => string);
  /** The documents afterwards, of which the server tells the effect. */
  documents?: Document[];
  /** The action is sent with the entity tag of its dry run, so that nothing else is done than was shown. */
  asTried?: boolean;
  /** The dry run of the action, where there are no documents; without both, `says` is all. */
  trial?: Call;
  danger?: boolean;
  choices?: Choice[];
}

interface Props {
  action: Action | null;
  close: () => void;
  /** What follows once it is done, with what was chosen. */
  done?: (given: Record<string, string>) => void;
}

const AGAIN = 2_000; // milliseconds, after which the server is asked again whether it can finish

export function Confirm({ action, close, done }: Props) {
  const { t } = useTranslation();
  return (
    <Modal opened={action !== null} onClose={close} title={action?.title} size="lg" closeButtonProps={{ "aria-label": t("effect.close") }}>
      {action && <Body action={action} close={close} done={done} />}
    </Modal>
  );
}

const quoted = (text: string) => (/^[\w.:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function Body({ action, close, done }: { action: Action; close: () => void; done: ((given: Record<string, string>) => void) | undefined }) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const curl = useCurl();
  const [busy, setBusy] = useState(false);
  const [given, setGiven] = useState<Record<string, string>>({});
  const [wrong, setWrong] = useState<ApiError | null>(null);
  const [waiting, setWaiting] = useState<string[] | null>(null);
  const open = useRef(true);
  useEffect(() => {
    open.current = true;
    return () => {
      open.current = false;
    };
  }, []);
  const effect = useQuery({
    queryKey: ["effect", action.documents, action.trial, given],
    queryFn: () => (action.trial ? call<Told>({ ...action.trial, path: withParameters(action.trial.path, given) }).then(({ data, etag }) => ({ ...data, etag })) : effectOf(action.documents ?? [], given)),
    enabled: action.documents !== undefined || action.trial !== undefined,
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: 0,
  });
  const asked: Call = { ...action.call, path: withParameters(action.call.path, given), ...(action.asTried && { match: effect.data?.etag ?? undefined }) };
  const options = (action.choices ?? [])
    .filter((one) => given[one.parameter])
    .map((one) => ` ${one.option}${one.text ? ` ${quoted(given[one.parameter] ?? "")}` : ""}`)
    .join("");
  const act = async () => {
    setBusy(true);
    setWrong(null);
    try {
      let answer = await call<Told | undefined>(asked);
      while (answer.status === 202) {
        setWaiting(answer.data?.waiting ?? []);
        await new Promise((later) => window.setTimeout(later, AGAIN));
        if (!open.current) return;
        answer = await call<Told | undefined>(asked);
      }
      await queries.invalidateQueries({ queryKey: documentsKey });
      notifications.show({ message: t("effect.done", { what: action.title }), color: "teal", closeButtonProps: { "aria-label": t("effect.close") } });
      close();
      done?.(given);
    } catch (error) {
      setWrong(error instanceof ApiError ? error : new ApiError(0, null, String(error)));
    } finally {
      setWaiting(null);
      setBusy(false);
    }
  };
  const refused = effect.error instanceof ApiError ? effect.error : null;
  const kept = (effect.data?.kept ?? []).some((one) => one.field.startsWith("ratio."));
  const offered = (one: Choice) =>
    given[one.parameter] !== undefined || one.when === "always" || (one.when === "kept" ? kept : one.when === "replaceable" ? effect.data?.can_replace_base === true : wrong?.status === 409 || effect.data?.refused === true);
  return (
    <Stack>
      <Text component="div">{action.says}</Text>
      {effect.isLoading && <Loader size="sm" aria-label={t("shell.loading")} />}
      {effect.data && <Effect applied={effect.data} />}
      <Refused error={refused} />
      {kept && <Alert color="yellow" title={t("effect.keptByRelease")}>{t("effect.keptByReleaseText")}</Alert>}
      {(action.choices ?? []).filter(offered).map((one) =>
        one.text ? (
          <TextInput
            key={one.parameter}
            label={one.label}
            placeholder={one.text.placeholder}
            value={given[one.parameter] ?? ""}
            onChange={(event) => setGiven({ ...given, [one.parameter]: event.currentTarget.value.trim() })}
            error={wrong?.problem?.errors.filter((error) => error.field === one.parameter).map((error) => `${error.message}; ${error.remedy}`).join(" ") || undefined}
          />
        ) : (
          <Checkbox
            key={one.parameter}
            label={one.label}
            checked={given[one.parameter] === "true"}
            onChange={(event) => setGiven({ ...given, [one.parameter]: event.currentTarget.checked ? "true" : "" })}
          />
        ),
      )}
      <Commands commands={[typeof action.command === "string" ? action.command + options : action.command(options), curl(asked)]} />
      {waiting && (
        <Alert color="blue" role="status" icon={<Loader size="sm" />} title={t("deployments.waiting")}>
          {waiting.map((one) => <Text key={one} size="sm">{one}</Text>)}
          <Text size="sm">{t("deployments.waitingText")}</Text>
        </Alert>
      )}
      <Refused error={wrong} />
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>{t("effect.cancel")}</Button>
        <Button color={action.danger ? "red" : undefined} loading={busy} disabled={refused !== null || (action.asTried === true && !effect.data)} onClick={() => void act()} data-autofocus>
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
