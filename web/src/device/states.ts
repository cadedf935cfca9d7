import type { Command, Device } from "../api/types";
import type { Tone } from "../ui/State";

export const STATUS_TONES: Readonly<Record<Device["status"], Tone>> = {
  provisioned: "calm",
  online: "good",
  late: "warn",
  offline: "fault",
  revoked: "bad",
};

export const STATUS_NAMES = Object.keys(STATUS_TONES) as readonly Device["status"][];

export const COMMAND_TONES: Readonly<Record<Command["status"], Tone>> = {
  queued: "active",
  delivered: "active",
  acked: "active",
  running: "active",
  succeeded: "good",
  failed: "bad",
  expired: "warn",
  cancelled: "calm",
};

/** Whether what was heard last still tells how the device is. */
export const isHeard = ({ status }: Pick<Device, "status">): boolean => status === "online";
