/** The nonce of the page, without which its policy lets no style element in. */
import { setNonce } from "get-nonce";

export const nonce = document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
setNonce(nonce);
