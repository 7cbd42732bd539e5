"""One message of each kind that venues send, as their documentation writes it, and what it says."""

from __future__ import annotations

from typing import NamedTuple

T = 1_700_000_000_000_000
"""Microseconds UTC of most messages here: 2023-11-14T22:13:20Z."""

RECEIVED = 1_800_000_000_000_000
"""When all of them are received."""


class Said(NamedTuple):
    """What a quote in a message says."""

    symbol: str
    bid: float | None
    ask: float | None
    last: float | None
    ts: int = T
    number: int | None = None


class Example(NamedTuple):
    """A message, and what it says; `before` must have come first."""

    venue: str
    kind: str
    text: str
    said: tuple[Said, ...]
    before: tuple[str, ...] = ()


def _trade(symbol: str, price: float, ts: int = T, number: int | None = None) -> Said:
    return Said(symbol, None, None, price, ts, number)


BITFINEX_TICKER = (
    '{"event":"subscribed","channel":"ticker","chanId":224555,"symbol":"tBTCUSD","pair":"BTCUSD"}',
    '{"event":"subscribed","channel":"ticker","chanId":224556,"symbol":"tDUSK:USD","pair":"DUSK:USD"}',
)
BITFINEX_TRADES = ('{"event":"subscribed","channel":"trades","chanId":17470,"symbol":"tBTCUSD","pair":"BTCUSD"}',)

BINANCE_BOOK = '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21","a":"25.36520000","A":"40.66"}'
BINANCE_TICKER = (
    '{"e":"24hrTicker","E":1700000000000,"s":"BNBBTC","p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009","c":"0.0025",'
    '"Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18",'
    '"O":0,"C":86400000,"F":0,"L":18150,"n":18151}'
)

EXAMPLES = (
    Example("binance-spot", "book", BINANCE_BOOK, (Said("BNBUSDT", 25.3519, 25.3652, None, RECEIVED, 400900217),)),
    Example(
        "binance-spot",
        "book",
        f'{{"stream":"bnbusdt@bookTicker","data":{BINANCE_BOOK}}}',
        (Said("BNBUSDT", 25.3519, 25.3652, None, RECEIVED, 400900217),),
    ),
    Example(
        "binance-spot",
        "aggtrade",
        '{"stream":"blzeth@aggTrade","data":{"e":"aggTrade","E":1700000000001,"s":"BLZETH","a":5933014,"p":"0.001","q":"100",'
        '"f":100,"l":105,"T":1700000000000,"m":true,"M":true}}',
        (_trade("BLZETH", 0.001, number=5933014),),
    ),
    Example(
        "binance-spot",
        "trade",
        '{"e":"trade","E":1700000000000001,"s":"BNBBTC","t":12345,"p":"0.002","q":"100","T":1700000000000001,"m":true,"M":true}',
        (_trade("BNBBTC", 0.002, T + 1, 12345),),
    ),
    Example("binance-spot", "ticker", BINANCE_TICKER, (Said("BNBBTC", 0.0024, 0.0026, 0.0025),)),
    Example(
        "binance-spot",
        "tickers",
        f'{{"stream":"!ticker@arr","data":[{BINANCE_TICKER},{BINANCE_TICKER.replace("BNBBTC", "ETHBTC")}]}}',
        (Said("BNBBTC", 0.0024, 0.0026, 0.0025), Said("ETHBTC", 0.0024, 0.0026, 0.0025)),
    ),
    Example(
        "binance-futures",
        "book",
        '{"e":"bookTicker","u":400900217,"E":1700000000005,"T":1700000000000,"s":"BNBUSDT","b":"25.35","B":"31.2","a":"0","A":"0"}',
        (Said("BNBUSDT", 25.35, None, None, T, 400900217),),
    ),
    Example(
        "binance-futures",
        "aggtrade",
        '{"e":"aggTrade","E":1700000000009,"s":"BTCUSDT","a":5933014,"p":"0.001","q":"100","f":1,"l":2,"T":1700000000000,"m":true}',
        (_trade("BTCUSDT", 0.001, number=5933014),),
    ),
    Example(
        "binance-futures",
        "trade",
        '{"e":"trade","E":1700000000009,"T":1700000000000,"s":"BTCUSDT","t":77,"p":"0.001","q":"1","X":"MARKET","m":true}',
        (_trade("BTCUSDT", 0.001, number=77),),
    ),
    Example(
        "binance-futures",
        "ticker",
        '{"e":"24hrTicker","E":1700000000000,"s":"BTCUSDT","p":"0.0015","P":"250.00","w":"0.0018","c":"0.0025","Q":"10"}',
        (_trade("BTCUSDT", 0.0025),),
    ),
    Example(
        "bybit-v5",
        "trade",
        '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1700000000009,"data":[{"T":1700000000000,"s":"BTCUSDT","S":"Buy",'
        '"v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"seq":1783284617},'
        '{"T":1700000000001,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16579.00","L":"PlusTick","i":"x","BT":false,"seq":1783284617}]}',
        (_trade("BTCUSDT", 16578.5, T, 1783284617), _trade("BTCUSDT", 16579.0, T + 1000, 1783284617)),
    ),
    Example(
        "bybit-v5",
        "ticker",
        '{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick","lastPrice":"17216.00",'
        '"markPrice":"17217.33","bid1Price":"17215.50","bid1Size":"84.489","ask1Price":"17216.00","ask1Size":"83.020"},'
        '"cs":24987956059,"ts":1700000000000}',
        (Said("BTCUSDT", 17215.5, 17216.0, 17216.0, T, 24987956059),),
    ),
    Example(
        "bybit-v5",
        "ticker",
        '{"id":"tickers.BTC-6JAN23-17500-C-1","topic":"tickers.BTC-6JAN23-17500-C","ts":1700000000000,"data":{"symbol":'
        '"BTC-6JAN23-17500-C","bidPrice":"0","bidSize":"0","askPrice":"10","askSize":"5.1","lastPrice":"10"},"type":"snapshot"}',
        (Said("BTC-6JAN23-17500-C", 0.0, 10.0, 10.0),),
    ),
    Example(
        "bybit-v5",
        "book",
        '{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1700000000000,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],'
        '"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724},"cts":1700000000000}',
        (Said("BTCUSDT", 16493.5, 16611.0, None, T, 18521288),),
    ),
    Example(
        "bybit-v5",
        "trade-v2",
        '{"topic":"trade.EOSUSD","data":[{"trade_time_ms":1700000000000,"timestamp":"2023-11-14T22:13:20.000Z","symbol":"EOSUSD",'
        '"side":"Sell","size":4,"price":7.9715,"tick_direction":"PlusTick","trade_id":"5ffb8b77","cross_seq":1225777225}]}',
        (_trade("EOSUSD", 7.9715, number=1225777225),),
    ),
    Example(
        "okx-v5",
        "ticker",
        '{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT","last":"9999.99",'
        '"lastSz":"0.1","askPx":"9999.99","askSz":"11","bidPx":"8888.88","bidSz":"5","open24h":"9000","ts":"1700000000000"}]}',
        (Said("BTC-USDT", 8888.88, 9999.99, 9999.99),),
    ),
    Example(
        "okx-v5",
        "trade",
        '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9",'
        '"sz":"0.12060306","side":"buy","ts":"1700000000000","count":"3"}]}',
        (_trade("BTC-USDT", 42219.9, number=130639474),),
    ),
    Example(
        "okx-v5",
        "book",
        '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["111.06","55154","0","2"]],"bids":[],'
        '"ts":"1700000000000","seqId":363996337}]}',
        (Said("BTC-USDT-SWAP", None, 111.06, None, T, 363996337),),
    ),
    Example(
        "kraken-v1",
        "ticker",
        '[340,{"a":["5525.40000",1,"1.000"],"b":["5525.10000",1,"1.000"],"c":["5525.20000","0.00398963"],"v":["2634.11","3591.17"],'
        '"p":["5631.44","5653.78"],"t":[11493,16267],"l":["5505.0","5505.0"],"h":["5783.0","5783.0"],"o":["5760.7","5763.4"]},'
        '"ticker","XBT/USD"]',
        (Said("XBT/USD", 5525.1, 5525.4, 5525.2, RECEIVED),),
    ),
    Example(
        "kraken-v1",
        "spread",
        '[0,["5698.40000","5700.00000","1700000000.123456","1.01234567","0.98765432"],"spread","XBT/USD"]',
        (Said("XBT/USD", 5698.4, 5700.0, None, T + 123_456),),
    ),
    Example(
        "kraken-v1",
        "trade",
        '[0,[["5541.20000","0.15850568","1700000000.321597","s","l",""],["6060.00000","0.02455000","1700000001.000000","b","l",""]],'
        '"trade","XBT/USD"]',
        (_trade("XBT/USD", 5541.2, T + 321_597), _trade("XBT/USD", 6060.0, T + 1_000_000)),
    ),
    Example(
        "kraken-v2",
        "ticker",
        '{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,'
        '"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,"timestamp":"2023-11-14T22:13:20.000000Z"}]}',
        (Said("ALGO/USD", 0.10025, 0.10036, 0.10035),),
    ),
    Example(
        "kraken-v2",
        "trade",
        '{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":'
        '"market","trade_id":4665906,"timestamp":"2023-11-14T22:13:20.123456Z"}]}',
        (_trade("MATIC/USD", 0.5117, T + 123_456, 4665906),),
    ),
    Example(
        "coinbase-exchange",
        "ticker",
        '{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22","open_24h":"1310.79","best_bid":"1285.04",'
        '"best_bid_size":"0.46","best_ask":"1285.27","best_ask_size":"1.56","side":"buy","time":"2023-11-14T22:13:20.075687Z",'
        '"trade_id":370843401,"last_size":"11.4396987"}',
        (Said("ETH-USD", 1285.04, 1285.27, 1285.22, T + 75_687, 37475248783),),
    ),
    Example(
        "coinbase-exchange",
        "match",
        '{"type":"match","trade_id":280232,"maker_order_id":"2a0d","taker_order_id":"3c82","side":"sell","size":"985","price":'
        '"0.00001305","product_id":"SKL-BTC","sequence":177100030,"time":"2023-11-14T22:13:20.000000Z"}',
        (_trade("SKL-BTC", 0.00001305, number=280232),),
    ),
    Example(
        "coinbase-advanced",
        "ticker",
        '{"channel":"ticker","client_id":"","timestamp":"2023-11-14T22:13:20.000000001Z","sequence_num":0,"events":[{"type":'
        '"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"21932.98","best_bid":"21931.98",'
        '"best_bid_quantity":"8000.21","best_ask":"21933.98","best_ask_quantity":"8038.07"}]}]}',
        (Said("BTC-USD", 21931.98, 21933.98, 21932.98),),
    ),
    Example(
        "coinbase-advanced",
        "trade",
        '{"channel":"market_trades","client_id":"","timestamp":"2023-11-14T22:13:21Z","sequence_num":0,"events":[{"type":"update",'
        '"trades":[{"trade_id":"12","product_id":"ETH-USD","price":"1260.02","size":"0.3","side":"BUY","time":'
        '"2023-11-14T22:13:20.5Z"},{"trade_id":"11","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY","time":'
        '"2023-11-14T22:13:20.000Z"}]}]}',
        (_trade("ETH-USD", 1260.01, T, 11), _trade("ETH-USD", 1260.02, T + 500_000, 12)),
    ),
    Example(
        "deribit",
        "ticker",
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-31DEC21-300000-C.raw","data":{"timestamp":'
        '1700000000000,"state":"open","last_price":0.0005,"instrument_name":"BTC-31DEC21-300000-C","best_bid_price":0.0,'
        '"best_bid_amount":0.0,"best_ask_price":0.001,"best_ask_amount":0.1}}}',
        (Said("BTC-31DEC21-300000-C", None, 0.001, 0.0005),),
    ),
    Example(
        "deribit",
        "quote",
        '{"params":{"data":{"timestamp":1700000000000,"instrument_name":"BTC-PERPETUAL","best_bid_price":3914.97,"best_bid_amount":'
        '40.0,"best_ask_price":3996.61,"best_ask_amount":50.0},"channel":"quote.BTC-PERPETUAL"},"method":"subscription",'
        '"jsonrpc":"2.0"}',
        (Said("BTC-PERPETUAL", 3914.97, 3996.61, None),),
    ),
    Example(
        "deribit",
        "trade",
        '{"params":{"data":[{"trade_seq":30289432,"trade_id":"48079254","timestamp":1700000000000,"tick_direction":2,"price":8948,'
        '"instrument_name":"BTC-PERPETUAL","index_price":8950.1,"direction":"sell","amount":10}],"channel":'
        '"trades.BTC-PERPETUAL.100ms"},"method":"subscription","jsonrpc":"2.0"}',
        (_trade("BTC-PERPETUAL", 8948.0, number=30289432),),
    ),
    Example(
        "bitfinex",
        "ticker",
        "[224555,[7616.5,31.89055171,7617.5,43.358118629,-550.8,-0.0674,7617.1,8314.71200815,8257.8,7500]]",
        (Said("tBTCUSD", 7616.5, 7617.5, 7617.1, RECEIVED),),
        BITFINEX_TICKER,
    ),
    Example(
        "bitfinex",
        "ticker",
        "[224556,[0.1,31.89,0.2,43.3,-550.8,-0.0674,0.15,8314.7,8257.8,7500]]",
        (Said("tDUSK/USD", 0.1, 0.2, 0.15, RECEIVED),),
        BITFINEX_TICKER,
    ),
    Example(
        "bitfinex",
        "trade",
        '[17470,"te",[401597395,1700000000218,0.005,7245.3]]',
        (_trade("tBTCUSD", 7245.3, T + 218_000, 401597395),),
        BITFINEX_TRADES,
    ),
    Example(
        "kucoin-classic",
        "ticker",
        '{"type":"message","topic":"/market/ticker:BTC-USDT","subject":"trade.ticker","data":{"sequence":"1545896668986","price":'
        '"0.08","size":"0.011","bestAsk":"0.08","bestAskSize":"0.18","bestBid":"0.049","bestBidSize":"0.036","time":1700000000000}}',
        (Said("BTC-USDT", 0.049, 0.08, 0.08, T, 1545896668986),),
    ),
    Example(
        "kucoin-classic",
        "tickers",
        '{"type":"message","topic":"/market/ticker:all","subject":"BTC-USDT","data":{"sequence":"1545896668986","price":"0.08",'
        '"size":"0.011","bestAsk":"0.08","bestAskSize":"0.18","bestBid":"0.049","bestBidSize":"0.036","time":1700000000000}}',
        (Said("BTC-USDT", 0.049, 0.08, 0.08, T, 1545896668986),),
    ),
    Example(
        "kucoin-classic",
        "match",
        '{"type":"message","topic":"/market/match:BTC-USDT","subject":"trade.l3match","data":{"sequence":"1545896669145","type":'
        '"match","symbol":"BTC-USDT","side":"buy","price":"0.08200000000000000000","size":"0.01","tradeId":"5c24","takerOrderId":'
        '"5c25","makerOrderId":"5c26","time":"1700000000000000999"}}',
        (_trade("BTC-USDT", 0.082, T, 1545896669145),),
    ),
    Example(
        "kucoin-classic",
        "level1",
        '{"type":"message","topic":"/spotMarket/level1:BTC-USDT","subject":"level1","data":{"asks":["68145.8","0.51"],"bids":'
        '["68145.7","1.29"],"timestamp":1700000000000}}',
        (Said("BTC-USDT", 68145.7, 68145.8, None),),
    ),
    Example(
        "kucoin-classic",
        "snapshot",
        '{"type":"message","topic":"/market/snapshot:KCS-BTC","subject":"trade.snapshot","data":{"sequence":"1545896669291","data":'
        '{"trading":true,"symbol":"KCS-BTC","buy":0.00011,"sell":0.00012,"lastTradedPrice":0.000115,"datetime":1700000000000}}}',
        (Said("KCS-BTC", 0.00011, 0.00012, 0.000115),),
    ),
    Example(
        "kucoin-classic",
        "futures-ticker",
        '{"type":"message","subject":"tickerV2","topic":"/contractMarket/tickerV2:XBTUSDM","data":{"symbol":"XBTUSDM","sequence":45,'
        '"bestBidSize":795,"bestBidPrice":3200.0,"bestAskPrice":3600.0,"bestAskSize":284,"ts":1700000000000000999}}',
        (Said("XBTUSDM", 3200.0, 3600.0, None, T, 45),),
    ),
    Example(
        "kucoin-classic",
        "futures-trade",
        '{"type":"message","topic":"/contractMarket/execution:XBTUSDM","subject":"match","data":{"symbol":"XBTUSDM","sequence":36,'
        '"side":"buy","size":3,"price":"3200.0","ts":1700000000000000000}}',
        (_trade("XBTUSDM", 3200.0, number=36),),
    ),
    Example(
        "gate-v4",
        "ticker",
        '{"time":1700000000,"time_ms":1700000000123,"channel":"spot.tickers","event":"update","result":{"currency_pair":"BTC_USDT",'
        '"last":"19106.55","lowest_ask":"19108.71","highest_bid":"19106.55","change_percentage":"3.66"}}',
        (Said("BTC_USDT", 19106.55, 19108.71, 19106.55, T + 123_000),),
    ),
    Example(
        "gate-v4",
        "ticker",
        '{"time":1700000000,"time_ms":1700000000000,"channel":"futures.tickers","event":"update","result":[{"contract":"BTC_USD",'
        '"last":"118.4","change_percentage":"0.77","mark_price":"118.35"}]}',
        (_trade("BTC_USD", 118.4),),
    ),
    Example(
        "gate-v4",
        "book",
        '{"time":1700000000,"channel":"spot.book_ticker","event":"update","result":{"t":1700000000000,"u":48733182,"s":"BTC_USDT",'
        '"b":"19177.79","B":"0.0003341504","a":"19179.38","A":"0.09"}}',
        (Said("BTC_USDT", 19177.79, 19179.38, None, T, 48733182),),
    ),
    Example(
        "gate-v4",
        "trade",
        '{"time":1700000000,"channel":"spot.trades","event":"update","result":{"id":309143071,"id_market":30914307,"create_time":'
        '1700000000,"create_time_ms":"1700000000213.4578","side":"sell","currency_pair":"GT_USDT","amount":"16.47","price":'
        '"0.4705","range":"2390902-2390902"}}',
        (_trade("GT_USDT", 0.4705, T + 213_457, 30914307),),
    ),
    Example(
        "gate-v4",
        "futures-trade",
        '{"channel":"futures.trades","event":"update","time":1700000000,"time_ms":1700000000123,"result":[{"size":-108,"id":27753479,'
        '"create_time":1700000000,"create_time_ms":1700000000001,"price":"96.4","contract":"BTC_USD"}]}',
        (_trade("BTC_USD", 96.4, T + 1000, 27753479),),
    ),
    Example(
        "htx-spot",
        "trade",
        '{"ch":"market.btcusdt.trade.detail","ts":1700000000900,"tick":{"id":14650745135,"ts":1700000000000,"data":[{"amount":0.0099,'
        '"ts":1700000000001,"id":146507451359183894799,"tradeId":102043494569,"price":401.76,"direction":"buy"},{"amount":0.01,'
        '"ts":1700000000000,"id":146507451359183894798,"tradeId":102043494568,"price":401.74,"direction":"buy"}]}}',
        (_trade("btcusdt", 401.74, T, 102043494568), _trade("btcusdt", 401.76, T + 1000, 102043494569)),
    ),
    Example(
        "htx-spot",
        "book",
        '{"ch":"market.btcusdt.bbo","ts":1700000000009,"tick":{"seqId":161499562790,"ask":16829.51,"askSize":0.707776,"bid":16829.5,'
        '"bidSize":1.685945,"quoteTime":1700000000000,"symbol":"btcusdt"}}',
        (Said("btcusdt", 16829.5, 16829.51, None, T, 161499562790),),
    ),
    Example(
        "htx-spot",
        "ticker",
        '{"ch":"market.btcusdt.ticker","ts":1700000000000,"tick":{"open":51732.0,"high":52785.64,"low":51000,"close":52735.63,'
        '"amount":13259,"vol":687,"count":448737,"bid":52732.88,"bidSize":0.036,"ask":52732.89,"askSize":0.583653,"lastPrice":'
        '52735.63,"lastSize":0.03}}',
        (Said("btcusdt", 52732.88, 52732.89, 52735.63),),
    ),
    Example(
        "bitmex",
        "quote",
        '{"table":"quote","action":"insert","data":[{"timestamp":"2023-11-14T22:13:20.000Z","symbol":"XBTUSD","bidSize":100,'
        '"bidPrice":7400.5,"askPrice":7401,"askSize":200},{"timestamp":"2023-11-14T22:13:20.250Z","symbol":"XBTUSD","bidSize":null,'
        '"bidPrice":null,"askPrice":7401,"askSize":200}]}',
        (Said("XBTUSD", 7400.5, 7401.0, None), Said("XBTUSD", None, 7401.0, None, T + 250_000)),
    ),
    Example(
        "bitmex",
        "trade",
        '{"table":"trade","action":"insert","data":[{"timestamp":"2023-11-14T22:13:20.000Z","symbol":"XBTUSD","side":"Buy","size":1,'
        '"price":7401.5,"tickDirection":"PlusTick","trdMatchID":"a","grossValue":1,"homeNotional":1,"foreignNotional":1}]}',
        (_trade("XBTUSD", 7401.5),),
    ),
    Example(
        "bitmex",
        "instrument",
        '{"table":"instrument","action":"partial","keys":["symbol"],"data":[{"symbol":"XBTUSD","bidPrice":7400.5,"askPrice":7401,'
        '"lastPrice":7401,"timestamp":"2023-11-14T22:13:20.000Z"}]}',
        (Said("XBTUSD", 7400.5, 7401.0, 7401.0),),
    ),
    Example(
        "hyperliquid",
        "trade",
        '{"channel":"trades","data":[{"coin":"BTC","side":"A","px":"71000.5","sz":"0.1","time":1700000000000,"hash":"0x0","tid":99},'
        '{"coin":"@107","side":"A","px":"2.5","sz":"0.1","time":1700000000000,"hash":"0x0","tid":7}]}',
        (_trade("BTC", 71000.5), _trade("_107", 2.5)),
    ),
    Example(
        "hyperliquid",
        "book",
        '{"channel":"bbo","data":{"coin":"PURR/USDC","time":1700000000000,"bbo":[{"px":"0.1","sz":"5","n":1},null]}}',
        (Said("PURR/USDC", 0.1, None, None),),
    ),
    Example(
        "bitstamp",
        "trade",
        '{"data":{"id":216000477,"timestamp":"1700000000","amount":0.0792,"amount_str":"0.07920000","price":3805.44,"price_str":'
        '"3805.44","type":0,"microtimestamp":"1700000000596001","buy_order_id":1443875737346049,"sell_order_id":1443875731320832},'
        '"channel":"live_trades_ethusd","event":"trade"}',
        (_trade("ethusd", 3805.44, T + 596_001, 216000477),),
    ),
    Example(
        "bitstamp",
        "book",
        '{"data":{"timestamp":"1700000000","microtimestamp":"1700000000000000","bids":[["9.5","1"],["9.4","1"]],"asks":[["9.6","2"]]},'
        '"channel":"order_book_btcusd","event":"data"}',
        (Said("btcusd", 9.5, 9.6, None),),
    ),
    Example(
        "gemini-v2",
        "trade",
        '{"type":"trade","symbol":"BTCUSD","event_id":45465818387,"timestamp":1700000000000,"price":"9122.04","quantity":"0.0073173",'
        '"side":"sell"}',
        (_trade("BTCUSD", 9122.04, number=45465818387),),
    ),
    Example(
        "gemini-v2",
        "trade-v1",
        '{"type":"update","eventId":5375547515,"timestamp":1700000000,"timestampms":1700000000000,"socket_sequence":17,"events":['
        '{"type":"change","side":"ask","price":"3626.73","remaining":"0","delta":"-1.6","reason":"trade","symbol":"BTCUSD"},'
        '{"type":"trade","tid":5375547515,"price":"3632.54","amount":"0.1362819142","makerSide":"ask","symbol":"BTCUSD"}]}',
        (_trade("BTCUSD", 3632.54, number=5375547515),),
    ),
    Example(
        "crypto-com",
        "ticker",
        '{"id":-1,"method":"subscribe","code":0,"result":{"instrument_name":"BTCUSD-PERP","subscription":"ticker.BTCUSD-PERP",'
        '"channel":"ticker","data":[{"h":"51790.00","l":"47895.50","a":"51174.500000","c":"0.03955106","b":"51170.000000","bs":'
        '"0.1000","k":"51180.000000","ks":"0.2000","i":"BTCUSD-PERP","v":"879.5","vv":"1","oi":"1","t":1700000000000}]}}',
        (Said("BTCUSD-PERP", 51170.0, 51180.0, 51174.5),),
    ),
    Example(
        "crypto-com",
        "trade",
        '{"id":-1,"method":"subscribe","code":0,"result":{"instrument_name":"BTC_USDT","subscription":"trade.BTC_USDT","channel":'
        '"trade","data":[{"d":"2030407068","t":1700000000000,"p":"51327.500000","q":"0.000100","s":"SELL","i":"BTC_USDT"},'
        '{"d":"2030407067","t":1700000000000,"p":"51327.000000","q":"0.000100","s":"SELL","i":"BTC_USDT"}]}}',
        (_trade("BTC_USDT", 51327.0, T, 2030407067), _trade("BTC_USDT", 51327.5, T, 2030407068)),
    ),
    Example(
        "bitget",
        "ticker",
        '{"action":"snapshot","arg":{"instType":"SPOT","channel":"ticker","instId":"ETHUSDT"},"data":[{"instId":"ETHUSDT","lastPr":'
        '"2200.10","open24h":"2194.93","high24h":"2209.00","bidPr":"2200.00","askPr":"2200.20","bidSz":"1","askSz":"2","ts":'
        '"1700000000000"}],"ts":1700000000009}',
        (Said("ETHUSDT", 2200.0, 2200.2, 2200.1),),
    ),
    Example(
        "bitget",
        "ticker",
        '{"data":[{"lastPrice":"2.5","bid1Price":"2.4","ask1Price":"2.6"}],"arg":{"instType":"usdt-futures","topic":"ticker",'
        '"symbol":"BTCUSDT"},"action":"snapshot","ts":1700000000000}',
        (Said("BTCUSDT", 2.4, 2.6, 2.5),),
    ),
    Example(
        "bitget",
        "trade",
        '{"action":"update","arg":{"instType":"SPOT","channel":"trade","instId":"BTCUSDT"},"data":[{"ts":"1700000000000","price":'
        '"43255.92","size":"0.0012","side":"buy","tradeId":"1115148211237699585"}],"ts":1700000000001}',
        (_trade("BTCUSDT", 43255.92, number=1115148211237699585),),
    ),
    Example(
        "bitget",
        "trade",
        '{"data":[{"p":"2.5","v":"1","S":"buy","T":"1700000000000","i":"1115148211237699586"}],"arg":{"instType":"spot","topic":'
        '"publicTrade","symbol":"BTCUSDT"},"action":"update","ts":1700000000009}',
        (_trade("BTCUSDT", 2.5, number=1115148211237699586),),
    ),
    Example(
        "bitget",
        "book",
        '{"action":"snapshot","arg":{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"},"data":[{"asks":[["27000.5","8.760"]],'
        '"bids":[["27000.0","2.710"]],"checksum":0,"ts":"1700000000000"}],"ts":1700000000009}',
        (Said("BTCUSDT", 27000.0, 27000.5, None),),
    ),
    Example(
        "upbit",
        "trade",
        '{"type":"trade","code":"KRW-BTC","timestamp":1700000000730,"trade_date":"2023-11-14","trade_time":"22:13:20",'
        '"trade_timestamp":1700000000000,"trade_price":100473000.0,"trade_volume":0.00014208,"ask_bid":"BID",'
        '"prev_closing_price":100571000.0,"change":"FALL","change_price":98000.0,"sequential_id":1730336862082000,"stream_type":'
        '"REALTIME"}',
        (_trade("KRW-BTC", 100473000.0, number=1730336862082000),),
    ),
    Example(
        "upbit",
        "ticker",
        '{"ty":"ticker","cd":"KRW-BTC","op":31883000.0,"hp":32310000.0,"lp":31855000.0,"tp":32287000.0,"tms":1700000000000}',
        (_trade("KRW-BTC", 32287000.0),),
    ),
    Example(
        "upbit",
        "book",
        '{"type":"orderbook","code":"KRW-BTC","timestamp":1700000000000,"total_ask_size":4.79,"total_bid_size":2.65,'
        '"orderbook_units":[{"ask_price":137002000.0,"bid_price":137001000.0,"ask_size":0.10,"bid_size":0.03}],"stream_type":'
        '"SNAPSHOT","level":0}',
        (Said("KRW-BTC", 137001000.0, 137002000.0, None),),
    ),
    Example(
        "dydx-v4",
        "trade",
        '{"type":"channel_data","connection_id":"004a","message_id":5,"id":"BTC-USD","channel":"v4_trades","version":"2.1.0",'
        '"contents":{"trades":[{"id":"02ac5b1f","size":"0.0020","price":"70300","side":"BUY","createdAt":"2023-11-14T22:13:20.000Z",'
        '"type":"LIMIT"}]}}',
        (_trade("BTC-USD", 70300.0),),
    ),
    Example(
        "dydx-v4",
        "trade-batch",
        '{"type":"channel_batch_data","connection_id":"004a","message_id":6,"id":"BTC-USD","channel":"v4_trades","version":"2.1.0",'
        '"contents":[{"trades":[{"id":"1","size":"1","price":"70300","side":"BUY","createdAt":"2023-11-14T22:13:20.000Z"}]},'
        '{"trades":[{"id":"2","size":"1","price":"70301","side":"BUY","createdAt":"2023-11-14T22:13:20.001Z"}]}]}',
        (_trade("BTC-USD", 70300.0), _trade("BTC-USD", 70301.0, T + 1000)),
    ),
)

OTHERS: dict[str, tuple[str, ...]] = {
    "binance-spot": (
        '{"result":null,"id":1}',
        '{"e":"depthUpdate","E":1,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[]}',
        '{"stream":"x@kline_1m","data":{"e":"kline","E":1,"s":"BNBUSDT","k":{"t":1}}}',
        '{"stream":"x@depth5","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}}',
        '{"code":2,"msg":"Invalid request"}',
        '{"e":"serverShutdown","E":1770123456789}',
    ),
    "binance-futures": (
        '{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1"}',
        '{"e":"forceOrder","E":1,"o":{"s":"BTCUSDT"}}',
    ),
    "bybit-v5": (
        '{"success":true,"ret_msg":"pong","conn_id":"a","op":"ping"}',
        '{"args":["1"],"op":"pong"}',
        '{"topic":"orderbook.50.BTCUSDT","type":"delta","data":{"s":"BTCUSDT","b":[],"a":[]}}',
    ),
    "okx-v5": (
        '"pong"',
        '{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"},"connId":"a"}',
        '{"event":"notice","code":"64008","msg":"The connection will soon be closed"}',
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[],"ts":"1"}]}',
    ),
    "kraken-v1": ('{"event":"heartbeat"}', '[1234,{"as":[["5541.3","2.5","1534614248.1"]],"bs":[]},"book-100","XBT/USD"]'),
    "kraken-v2": (
        '{"channel":"heartbeat"}',
        '{"method":"pong","req_id":101,"time_in":"a","time_out":"b"}',
        '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":1}]}',
        '{"channel":"trade","type":"snapshot","data":[{"symbol":"BTC/USD","price":1,"trade_id":1}]}',
    ),
    "coinbase-exchange": (
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}',
        '{"type":"subscriptions","channels":[]}',
        '{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1","1"]]}',
    ),
    "coinbase-advanced": (
        '{"channel":"heartbeats","sequence_num":0,"events":[{"current_time":"a","heartbeat_counter":"3049"}]}',
        '{"channel":"market_trades","sequence_num":1,"events":[{"type":"snapshot","trades":[{"trade_id":"1"}]}]}',
    ),
    "deribit": (
        '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
        '{"jsonrpc":"2.0","id":3,"result":["trades.BTC-PERPETUAL.100ms"],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}',
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.raw","data":{}}}',
    ),
    "bitfinex": (
        '{"event":"info","version":2,"serverId":"a","platform":{"status":1}}',
        '{"event":"pong","ts":1,"cid":1234}',
        '[224555,"hb"]',
        BITFINEX_TICKER[0],
    ),
    "kucoin-classic": (
        '{"id":"hQvf8jkno","type":"welcome"}',
        '{"id":"1545910590801","type":"pong","timestamp":1}',
        '{"type":"message","topic":"/market/level2:BTC-USDT","subject":"trade.l2update","data":{}}',
    ),
    "gate-v4": (
        '{"time":1,"channel":"spot.pong","event":"","error":null,"result":null}',
        '{"time":1,"channel":"spot.trades","event":"subscribe","result":{"status":"success"}}',
        '{"time":1,"channel":"spot.order_book_update","event":"update","result":{}}',
    ),
    "htx-spot": (
        '{"ping":1492420473027}',
        '{"id":"id1","status":"ok","subbed":"market.btcusdt.trade.detail","ts":1}',
        '{"ch":"market.btcusdt.kline.1min","ts":1,"tick":{}}',
        '{"ch":"market.btcusdt.depth.step0","ts":1,"tick":{}}',
    ),
    "bitmex": (
        '"pong"',
        '{"info":"Welcome to the BitMEX Realtime API.","version":"a"}',
        '{"success":true,"subscribe":"trade:XBTUSD","request":{}}',
        '{"table":"trade","action":"partial","data":[{"symbol":"XBTUSD","price":1}]}',
    ),
    "hyperliquid": (
        '"Websocket connection established."',
        '{"channel":"pong"}',
        '{"channel":"subscriptionResponse","data":{}}',
        '{"channel":"l2Book","data":{"coin":"BTC","levels":[[],[]],"time":1}}',
    ),
    "bitstamp": (
        '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',
        '{"event":"bts:request_reconnect","channel":"","data":null}',
        '{"event":"data","channel":"diff_order_book_btcusd","data":{"bids":[],"asks":[]}}',
    ),
    "gemini-v2": (
        '{"type":"heartbeat","timestamp":1547742998508}',
        '{"type":"l2_updates","symbol":"BTCUSD","changes":[["buy","1","1"]]}',
        '{"type":"update","socket_sequence":1,"events":[{"type":"change","symbol":"BTCUSD"}]}',
    ),
    "crypto-com": (
        '{"id":1587523073344,"method":"public/heartbeat","code":0}',
        '{"id":1,"code":0,"method":"subscribe"}',
        '{"id":-1,"code":0,"method":"subscribe","result":{"channel":"book","data":[]}}',
    ),
    "bitget": (
        '"pong"',
        '{"event":"subscribe","arg":{"instType":"SPOT","channel":"ticker","instId":"BTCUSDT"}}',
        '{"action":"snapshot","arg":{"instType":"SPOT","channel":"trade","instId":"BTCUSDT"},"data":[{"price":"1"}]}',
    ),
    "upbit": ('{"status":"UP"}', '{"error":{"name":"NO_CODES","message":"a"}}'),
    "dydx-v4": (
        '{"type":"connected","connection_id":"a","message_id":0}',
        '{"type":"subscribed","channel":"v4_trades","id":"BTC-USD","message_id":1,"contents":{"trades":[{"price":"1"}]}}',
        '{"type":"channel_data","channel":"v4_orderbook","id":"BTC-USD","message_id":2,"contents":{"bids":[]}}',
    ),
}
"""Messages that are known to hold no quotes."""
