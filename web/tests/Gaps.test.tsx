import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";

import { Gaps } from "../src/device/Gaps";

test("what a device gave up is told, though nothing is missing", () => {
  render(
    <Gaps
      epochs={[
        {
          epoch: "00aa11bb22cc33dd",
          first_seen: "2026-01-01T00:00:00Z",
          known_last: 9,
          landed: 5,
          given_up: [
            [2, 4],
            [7, 7],
          ],
          given_up_count: 4,
          missing: [],
          missing_count: 0,
          missing_since: null,
          predecessor: null,
          successors: [],
        },
      ]}
    />,
  );
  expect(screen.getByText("4 events given up")).toBeTruthy();
  expect(screen.getByText("Given up by the device: 2–4, 7")).toBeTruthy();
  expect(screen.queryByText(/missing$/)).toBeNull();
});
