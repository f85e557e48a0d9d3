FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# `prepare` would build here, where the sources are not there yet
RUN npm pkg delete scripts.prepare && npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev

FROM node:20-bookworm-slim
ENV NODE_ENV=production LTX_A2A_CACHE=/data/cache
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json CHANGELOG.md LICENSE ./
COPY bin ./bin
COPY addon ./addon
COPY fixtures/base ./fixtures/base
COPY fixtures/demo ./fixtures/demo
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 7880
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:7880/health').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# node is process 1 itself and gets SIGTERM; the commands handle it
ENTRYPOINT ["node", "/app/bin/ltx-a2a.js"]
CMD ["serve", "--host", "0.0.0.0", "--data", "/data"]
